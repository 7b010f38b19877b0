// SPDX-License-Identifier: Apache-2.0
// Reductions in a fixed order: the same bits in every run on any device.
#pragma once
#include <cstdint>

#include "kernels/cuda/launch.cuh"

namespace dino::cuda {

constexpr unsigned all_lanes = 0xFFFFFFFFU;

/// Sum over the lanes of a warp, in all of them. All lanes call it.
template <class T>
__device__ inline T warp_sum(T value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(all_lanes, value, offset);
  return value;
}

template <class T, class Combine>
__device__ inline T warp_combine(T value, Combine const& combine) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2)
    value = combine(value, __shfl_xor_sync(all_lanes, value, offset));
  return value;
}

/// Sum over the threads of a block, in all of them. All threads call it; their number is a multiple
/// of 32, at most 1024.
template <class T>
__device__ inline T block_sum(T value) {
  __shared__ T sums[32];
  int const warp = static_cast<int>(threadIdx.x) / 32, warps = static_cast<int>(blockDim.x) / 32;
  value = warp_sum(value);
  __syncthreads();  // of a call before, all have read
  if (threadIdx.x % 32 == 0) sums[warp] = value;
  __syncthreads();
  T total = 0;
  for (int i = 0; i < warps; ++i) total += sums[i];
  return total;
}

/// `combine` over the values of the threads of a block, in all of them, as block_sum. T needs no
/// construction.
template <class T, class Combine>
__device__ inline T block_combine(T value, Combine const& combine) {
  __shared__ T values[block_threads];
  __syncthreads();  // of a call before, all have read
  values[threadIdx.x] = value;
  __syncthreads();
  for (int half = static_cast<int>(blockDim.x) / 2; half > 0; half /= 2) {
    if (static_cast<int>(threadIdx.x) < half)
      values[threadIdx.x] = combine(values[threadIdx.x], values[threadIdx.x + half]);
    __syncthreads();
  }
  return values[0];
}

template <int N, class F>
__global__ void __launch_bounds__(block_threads) warp_rows_kernel(std::int64_t rows, F f) {
  auto const warp = static_cast<std::int64_t>(blockIdx.x) * (block_threads / 32) + threadIdx.x / 32;
  auto const warps = static_cast<std::int64_t>(gridDim.x) * (block_threads / 32);
  int const lane = static_cast<int>(threadIdx.x) % 32;
  for (auto row = warp; row < rows; row += warps) f.template row<N>(row, lane, 32);
}

/// f.row<N>(row, lane, lanes) by a warp for each row.
/// \param packs  whether N may be more than 1: all operands and their rows are aligned
template <int N, class F>
void for_warp_rows(Cuda const& cuda, std::int64_t rows, bool packs, F const& f) {
  if (rows <= 0) return;
  auto const grid = grid_for(cuda, rows * 32);
  if (packs) {
    launch(cuda, {grid, block_threads}, warp_rows_kernel<N, F>, rows, f);
  } else {
    launch(cuda, {grid, block_threads}, warp_rows_kernel<1, F>, rows, f);
  }
}

template <int N, class F>
__global__ void __launch_bounds__(block_threads) block_rows_kernel(std::int64_t rows, F f) {
  for (std::int64_t row = blockIdx.x; row < rows; row += gridDim.x)
    f.template row<N>(row, static_cast<int>(threadIdx.x), block_threads);
}

/// The same by a block for each row, for wide rows.
template <int N, class F>
void for_block_rows(Cuda const& cuda, std::int64_t rows, bool packs, F const& f) {
  if (rows <= 0) return;
  auto const grid = grid_for(cuda, rows * block_threads);
  if (packs) {
    launch(cuda, {grid, block_threads}, block_rows_kernel<N, F>, rows, f);
  } else {
    launch(cuda, {grid, block_threads}, block_rows_kernel<1, F>, rows, f);
  }
}

/// *out += weight Σ values. For partial results in double.
void add_sum(Cuda const& cuda, double const* values, std::int64_t n, double weight, double* out);

template <int N, class F>
__global__ void __launch_bounds__(block_threads)
    sum_values_kernel(std::int64_t n, F f, double* partials) {
  std::int64_t const thread = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  std::int64_t const packs = n / N;
  double sum = 0;
  for (auto i = thread; i < packs; i += std::int64_t{gridDim.x} * blockDim.x)
    sum += f.template at<N>(i * N);
  if constexpr (N > 1) {
    if (packs * N + thread < n) sum += f.template at<1>(packs * N + thread);
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

/// *out += weight Σ f.at<N>(i), which is the sum over N values in double.
template <int N, class F>
void sum_values(Cuda const& cuda, std::int64_t n, bool packs, F const& f, double weight,
                double* out) {
  if (n <= 0) return;
  // depends on n alone, and so do the bits of the sum, for operands of one alignment
  auto const blocks = std::clamp<std::int64_t>(n / (block_threads * 4 * N), 1, 1024);
  auto* const partials = reinterpret_cast<double*>(partials_of(cuda));
  auto const grid = static_cast<unsigned>(blocks);
  if (packs) {
    launch(cuda, {grid, block_threads}, sum_values_kernel<N, F>, n, f, partials);
  } else {
    launch(cuda, {grid, block_threads}, sum_values_kernel<1, F>, n, f, partials);
  }
  add_sum(cuda, partials, blocks, weight, out);
}

}  // namespace dino::cuda
