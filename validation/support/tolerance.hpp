// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/view.hpp"

namespace dino::test {

/// Unit roundoff of a type.
template <class T>
constexpr double roundoff() {
  return std::is_same_v<T, double> ? 0x1p-53 : std::is_same_v<T, float> ? 0x1p-24 : 0x1p-8;
}

/// Bound on max |a - e| / max |e| for results in T whose sums have `length` terms in float32: the
/// rounding of the result, and the growth of a pairwise or blocked sum (square root of the length).
template <class T>
constexpr double tolerance(std::int64_t length = 1) {
  return 4 * roundoff<T>() + 8 * roundoff<float>() * std::sqrt(static_cast<double>(std::max<std::int64_t>(length, 1)));
}

/// max |a - e| / max |e| (1 where all e are 0); infinite where a value is not finite.
template <class A, class E>
double deviation(A const& actual, E const& expected) {
  if (std::size(actual) != std::size(expected)) return std::numeric_limits<double>::infinity();
  double worst = 0;
  double scale = 0;
  for (std::size_t i = 0; i < std::size(expected); ++i) {
    double const a = static_cast<double>(actual[i]);
    double const e = static_cast<double>(expected[i]);
    if (!std::isfinite(a)) return std::numeric_limits<double>::infinity();
    worst = std::max(worst, std::abs(a - e));
    scale = std::max(scale, std::abs(e));
  }
  return worst / (scale > 0 ? scale : 1.0);
}

}  // namespace dino::test
