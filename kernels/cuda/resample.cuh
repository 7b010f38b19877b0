// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cuda/vector.cuh"

namespace dino::cuda {

/// v = Σ_ij a[i] b[j] x[i, j] over the cells of a grid, for N channels from x on; cells without
/// weight are passed over.
/// \param width  channels of a cell
template <int N, class T>
__device__ inline void weighted_cells(T const* x, std::int64_t width, float const* a,
                                      std::int64_t height, float const* b, std::int64_t across,
                                      float (&v)[N]) {
#pragma unroll
  for (int k = 0; k < N; ++k) v[k] = 0;
  for (std::int64_t i = 0; i < height; ++i) {
    if (a[i] == 0) continue;
    for (std::int64_t j = 0; j < across; ++j) {
      float const weight = a[i] * b[j];
      if (weight == 0) continue;
      float cell[N];
      load<N>(x + (i * across + j) * width, cell);
#pragma unroll
      for (int k = 0; k < N; ++k) v[k] += weight * cell[k];
    }
  }
}

}  // namespace dino::cuda
