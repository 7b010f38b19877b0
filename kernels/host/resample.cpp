// SPDX-License-Identifier: Apache-2.0
#include "kernels/resample.hpp"

#include <algorithm>

#include "kernels/host/parallel.hpp"

namespace dino {
namespace {

/// y += Σ_j a b_j x_j over the cells of one row of a grid; cells without weight are passed over.
template <class T>
void add_row(T const* x, std::int64_t width, float const* b, std::int64_t cells, float a,
             float* y) {
  for (std::int64_t j = 0; j < cells; ++j) {
    float const weight = a * b[j];
    if (weight == 0.0F) continue;
    auto const* const cell = x + j * width;
#pragma omp simd
    for (std::int64_t d = 0; d < width; ++d) y[d] += weight * static_cast<float>(cell[d]);
  }
}

}  // namespace

template <class T>
void execute(Host const&, GridResample<T> const& op) {
  auto const height = op.rows.extent(1), width = op.columns.extent(1);
  auto const out_height = op.rows.extent(0), out_width = op.columns.extent(0);
  auto const dim = op.x.extent(1);
  host::parallel_rows(op.y.extent(0), [=](std::int64_t cell) {
    auto const grid = cell / (out_height * out_width);
    auto const* const a = op.rows.row(cell / out_width % out_height);
    auto* const y = op.y.row(cell);
    std::fill(y, y + dim, 0.0F);
    for (std::int64_t i = 0; i < height; ++i) {
      if (a[i] == 0.0F) continue;
      add_row(op.x.row((grid * height + i) * width), dim, op.columns.row(cell % out_width), width,
              a[i], y);
    }
  });
}

template void execute(Host const&, GridResample<float> const&);
template void execute(Host const&, GridResample<bfloat16> const&);

}  // namespace dino
