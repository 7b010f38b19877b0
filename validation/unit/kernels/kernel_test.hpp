// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/philox.hpp"
#include "kernels/space.hpp"
#include "support/device.hpp"
#include "support/gradient_check.hpp"
#include "support/tolerance.hpp"

namespace dino::test {

using Precisions = testing::Types<float, bfloat16>;

inline Space const host{Host{}};

/// Where operations run: on the host, or on the device where the tests are the gpu ones. Operands
/// lie in host memory.
struct SpaceUnderTest {};
inline constexpr SpaceUnderTest space{};

template <class Op>
void run(SpaceUnderTest, Op const& op) {
  if (!device_wanted()) return dino::run(Space(Host{}), op);
  static Space const device = device_space(find_devices().devices.at(0).ordinal, {});
  run_with_host_operands(device, op);
}

/// Skips every test where the device that they are for is missing.
class NeedsDevice : public testing::Environment {
 public:
  void SetUp() override {
    auto const list = device_wanted() ? find_devices() : DeviceList{};
    if (!device_wanted() || !list.devices.empty()) return;
    std::printf("[  SKIPPED ] no device: %s\n", list.reason.c_str());  // what CTest looks for
    GTEST_SKIP();
  }
};
inline auto* const needs_device = testing::AddGlobalTestEnvironment(new NeedsDevice);

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
