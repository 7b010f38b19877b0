// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/philox.hpp"
#include "kernels/space.hpp"
#include "support/gradient_check.hpp"
#include "support/tolerance.hpp"

namespace dino::test {

using Precisions = testing::Types<float, bfloat16>;

inline Space const host{Host{}};

/// Normal random values, rounded to T.
template <class T>
std::vector<T> random_values(std::int64_t count, std::uint64_t seed, double deviation_of = 1,
                             double mean = 0) {
  Philox random(seed, Purpose::test, 0);
  std::vector<T> values(static_cast<std::size_t>(count));
  for (auto& v : values)
    v = static_cast<T>(static_cast<float>(mean + deviation_of * random.normal()));
  return values;
}

template <class T>
std::vector<double> doubles(std::vector<T> const& values) {
  return {values.begin(), values.end()};
}
inline std::vector<double> doubles(std::vector<bfloat16> const& values) {
  std::vector<double> out;
  for (auto const v : values) out.push_back(static_cast<float>(v));
  return out;
}

/// The vector as an array; null where it has no values.
template <int R, class T>
View<T, R> as(std::vector<T>& values, std::array<std::int64_t, R> extents) {
  return {values.empty() ? nullptr : values.data(), extents};
}
template <int R, class T>
View<T const, R> as(std::vector<T> const& values, std::array<std::int64_t, R> extents) {
  return {values.empty() ? nullptr : values.data(), extents};
}

template <class T>
double deviation_from(std::vector<T> const& actual, std::vector<double> const& expected) {
  return deviation(doubles(actual), expected);
}

/// The text of the Error that `f` throws; "nothing was thrown" otherwise.
template <class F>
std::string refusal(F const& f) {
  try {
    f();
  } catch (Error const& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace dino::test
