// SPDX-License-Identifier: Apache-2.0
#include "model/positions.hpp"

#include <algorithm>
#include <cmath>

namespace dino {
namespace {

/// The cubic convolution kernel. Source: Keys 1981, eq. 4.
double keys(double x, double a) {
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0.0;
}

/// Four taps around the source of output i, which may lie beyond the border.
void four_taps(double ratio, std::int64_t m, std::int64_t i, double* row) {
  double const source = ratio * (static_cast<double>(i) + 0.5) - 0.5;
  auto const first = static_cast<std::int64_t>(std::floor(source)) - 1;
  for (std::int64_t j = first; j < first + 4; ++j)
    row[std::clamp<std::int64_t>(j, 0, m - 1)] += keys(source - static_cast<double>(j), -0.75);
}

/// A kernel as wide as the coarser of both grids asks for, normalised inside the border.
void antialiased_taps(double ratio, std::int64_t m, std::int64_t i, double* row) {
  double const widening = std::max(ratio, 1.0);
  double const support = 2 * widening;
  double const center = ratio * (static_cast<double>(i) + 0.5);
  auto const begin = std::max<std::int64_t>(0, static_cast<std::int64_t>(center - support + 0.5));
  auto const end = std::min<std::int64_t>(m, static_cast<std::int64_t>(center + support + 0.5));
  double sum = 0;
  for (std::int64_t j = begin; j < end; ++j) {
    row[j] = keys((static_cast<double>(j) - center + 0.5) / widening, -0.5);
    sum += row[j];
  }
  for (std::int64_t j = begin; j < end; ++j) row[j] /= sum;
}

}  // namespace

std::vector<float> position_weights(std::int64_t m, std::int64_t n,
                                    PositionInterpolation const& interpolation) {
  double const ratio = static_cast<double>(m) / (static_cast<double>(n) + interpolation.offset);
  std::vector<double> weights(static_cast<std::size_t>(n * m), 0.0);
  for (std::int64_t i = 0; i < n; ++i) {
    auto* const row = weights.data() + i * m;
    if (interpolation.antialias) {
      antialiased_taps(ratio, m, i, row);
    } else {
      four_taps(ratio, m, i, row);
    }
  }
  return {weights.begin(), weights.end()};
}

}  // namespace dino
