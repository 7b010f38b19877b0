// SPDX-License-Identifier: Apache-2.0
#include "kernels/resample.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/check.hpp"

namespace dino {
namespace {

/// The cubic convolution kernel. Source: Keys 1981, eq. 4.
double keys(double x, double a) {
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0.0;
}

/// Samples on either side of the centre that a kernel reaches.
std::int64_t reach(ResampleFilter filter) {
  return filter == ResampleFilter::bicubic ? 2 : 1;
}

double kernel_at(ResampleFilter filter, double x, double a) {
  return filter == ResampleFilter::bicubic ? keys(x, a) : std::max(0.0, 1 - std::abs(x));
}

/// A kernel around the source of output i, which may lie beyond the border.
void narrow_taps(ResampleFilter filter, double ratio, std::int64_t m, std::int64_t i, double* row) {
  double const source = ratio * (static_cast<double>(i) + 0.5) - 0.5;
  auto const next = static_cast<std::int64_t>(std::floor(source)) + 1;
  for (std::int64_t j = next - reach(filter); j < next + reach(filter); ++j)
    row[std::clamp<std::int64_t>(j, 0, m - 1)] +=
        kernel_at(filter, source - static_cast<double>(j), -0.75);
}

/// A kernel as wide as the coarser of both grids asks for, normalised inside the border.
void antialiased_taps(ResampleFilter filter, double ratio, std::int64_t m, std::int64_t i,
                      double* row) {
  double const widening = std::max(ratio, 1.0);
  double const support = static_cast<double>(reach(filter)) * widening;
  double const center = ratio * (static_cast<double>(i) + 0.5);
  auto const begin = std::max<std::int64_t>(0, static_cast<std::int64_t>(center - support + 0.5));
  auto const end = std::min<std::int64_t>(m, static_cast<std::int64_t>(center + support + 0.5));
  double sum = 0;
  for (std::int64_t j = begin; j < end; ++j) {
    row[j] = kernel_at(filter, (static_cast<double>(j) - center + 0.5) / widening, -0.5);
    sum += row[j];
  }
  for (std::int64_t j = begin; j < end; ++j) row[j] /= sum;
}

}  // namespace

std::vector<float> resample_weights(std::int64_t m, std::int64_t n, double ratio,
                                    ResampleKernel const& kernel) {
  std::vector<double> weights(static_cast<std::size_t>(n * m), 0.0);
  for (std::int64_t i = 0; i < n; ++i) {
    auto* const row = weights.data() + i * m;
    if (kernel.antialias) {
      antialiased_taps(kernel.filter, ratio, m, i, row);
    } else {
      narrow_taps(kernel.filter, ratio, m, i, row);
    }
  }
  return {weights.begin(), weights.end()};
}

template <class T>
void GridResample<T>::check() const {
  auto const from = rows.extent(1) * columns.extent(1), to = rows.extent(0) * columns.extent(0);
  require_extents("GridResample", "rows", rows, rows.extents());
  require_extents("GridResample", "columns", columns, columns.extents());
  require_extents("GridResample", "x", x, {grids() * from, x.extent(1)});
  require_extents("GridResample", "y", y, {grids() * to, x.extent(1)});
}

template struct GridResample<float>;
template struct GridResample<bfloat16>;

}  // namespace dino
