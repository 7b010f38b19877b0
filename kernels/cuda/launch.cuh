// SPDX-License-Identifier: Apache-2.0
// Launches over values and over rows. A functor F works on N neighbouring values at a time.
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/cuda/vector.cuh"

namespace dino::cuda {

constexpr int block_threads = 256;

/// Blocks for so many threads: at most sixteen a multiprocessor, each thread then takes several.
inline unsigned grid_for(Cuda const& cuda, std::int64_t threads) {
  auto const blocks = (threads + block_threads - 1) / block_threads;
  return static_cast<unsigned>(std::clamp<std::int64_t>(blocks, 1, 16 * multiprocessors_of(cuda)));
}

template <int N, class F>
__global__ void __launch_bounds__(block_threads) values_kernel(std::int64_t n, F f) {
  std::int64_t const thread = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  std::int64_t const packs = n / N;
  for (auto i = thread; i < packs; i += std::int64_t{gridDim.x} * blockDim.x)
    f.template at<N>(i * N);
  if constexpr (N > 1) {
    if (packs * N + thread < n) f.template at<1>(packs * N + thread);
  }
}

/// f.at<N>(i) for the values i to i + N - 1 of n; the last ones by f.at<1>(i).
/// \param packs  whether N may be more than 1: all operands are aligned
template <int N, class F>
void for_values(Cuda const& cuda, std::int64_t n, bool packs, F const& f) {
  if (n <= 0) return;
  if (packs) {
    launch(cuda, {grid_for(cuda, n / N), block_threads}, values_kernel<N, F>, n, f);
  } else {
    launch(cuda, {grid_for(cuda, n), block_threads}, values_kernel<1, F>, n, f);
  }
}

template <int N, class F>
__global__ void __launch_bounds__(block_threads)
    rows_kernel(std::int64_t rows, std::int64_t width, F f) {
  for (std::int64_t row = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y; row < rows;
       row += std::int64_t{gridDim.x} * blockDim.y) {
    auto const line = f.line(row);
    for (std::int64_t d = std::int64_t{threadIdx.x} * N; d < width;
         d += std::int64_t{blockDim.x} * N)
      f.template at<N>(line, d);
  }
}

/// f.at<N>(f.line(row), d) for the values d to d + N - 1 of every row.
/// \param packs  whether N may be more than 1: all operands and their rows are aligned
template <int N, class F>
void for_rows(Cuda const& cuda, std::int64_t rows, std::int64_t width, bool packs, F const& f) {
  if (rows <= 0 || width <= 0) return;
  auto const across = packs ? width / N : width;
  unsigned x = 1;
  while (x < block_threads && x < across) x *= 2;
  dim3 const block(x, block_threads / x);
  auto const grid = grid_for(cuda, (rows + block.y - 1) / block.y * block_threads);
  if (packs) {
    launch(cuda, {grid, block}, rows_kernel<N, F>, rows, width, f);
  } else {
    launch(cuda, {grid, block}, rows_kernel<1, F>, rows, width, f);
  }
}

/// Whether rows of `width` values can be read in packs of N.
template <int N, class... P>
bool aligned_rows(std::int64_t width, P const*... p) {
  return width % N == 0 && aligned(p...);
}

}  // namespace dino::cuda
