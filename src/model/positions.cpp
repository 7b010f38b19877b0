// SPDX-License-Identifier: Apache-2.0
#include "model/positions.hpp"

#include <algorithm>
#include <cmath>

namespace dino {
namespace {

double keys(double x) {
  constexpr double a = -0.75;
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0.0;
}

}  // namespace

std::vector<float> position_weights(std::int64_t m, std::int64_t n,
                                    PositionInterpolation const& interpolation) {
  double const ratio = static_cast<double>(m) / (static_cast<double>(n) + interpolation.offset);
  std::vector<double> weights(static_cast<std::size_t>(n * m), 0.0);
  for (std::int64_t i = 0; i < n; ++i) {
    double const source = ratio * (static_cast<double>(i) + 0.5) - 0.5;
    auto const first = static_cast<std::int64_t>(std::floor(source)) - 1;
    for (std::int64_t j = first; j < first + 4; ++j) {
      auto const column = std::clamp<std::int64_t>(j, 0, m - 1);
      weights[static_cast<std::size_t>(i * m + column)] += keys(source - static_cast<double>(j));
    }
  }
  return {weights.begin(), weights.end()};
}

}  // namespace dino
