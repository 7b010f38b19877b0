// SPDX-License-Identifier: Apache-2.0
// Resampling of grids of tokens, one axis after the other.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/space.hpp"

namespace dino {

/// Kernels of resampling: of Keys, and a triangle.
enum class ResampleFilter { bicubic, bilinear };

/// How one axis of a grid is resampled.
struct ResampleKernel {
  ResampleFilter filter = ResampleFilter::bicubic;
  /// A kernel that widens when the grid shrinks (bicubic: A = -0.5); else 4 or 2 taps (A = -0.75).
  bool antialias = false;
};

/// Weights [n, m] of the resampling of m samples to n along one axis (align_corners false): border
/// replicated; with antialias over the support of the wider grid, normalised.
/// Source: Keys 1981, doi:10.1109/TASSP.1981.1163711; method.md 1.4, 3.8.
/// \param ratio  samples per result, m / n unless results lie elsewhere
std::vector<float> resample_weights(std::int64_t m, std::int64_t n, double ratio,
                                    ResampleKernel const& kernel);

/// y = A x Bᵀ for every channel of every grid, in float32: grids of H x W tokens become h x w.
/// Source: method.md 3.8.
template <class T>
struct GridResample {
  View<T const, 2> x;            ///< [n H W, D], grids row by row
  View<float const, 2> rows;     ///< [h, H], A
  View<float const, 2> columns;  ///< [w, W], B
  View<float, 2> y;              ///< [n h w, D], overwritten
  void check() const;
  std::int64_t grids() const {
    auto const cells = rows.extent(1) * columns.extent(1);
    return cells == 0 ? 0 : x.extent(0) / cells;
  }
};

template <class T>
void execute(Host const& host, GridResample<T> const& op);
template <class T>
void execute(Cuda const& cuda, GridResample<T> const& op);

}  // namespace dino
