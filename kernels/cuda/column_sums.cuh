// SPDX-License-Identifier: Apache-2.0
// Sums over the rows of a matrix, column by column, in two passes and a fixed order.
#pragma once
#include <cstdint>

#include "kernels/cuda/reduce.cuh"

namespace dino::cuda {

constexpr std::int64_t row_steps = 8;  // of a block, at least
constexpr std::int64_t most_parts = 128;

/// partials [parts, M, columns] = sums over the rows of each part.
template <int M, int N, int Lanes, class Sum, class F>
__global__ void __launch_bounds__(block_threads)
    column_partials_kernel(std::int64_t rows, std::int64_t columns, std::int64_t part_rows, F f,
                           Sum* partials) {
  constexpr int row_lanes = block_threads / Lanes;  // threads down the rows
  __shared__ Sum shared[row_lanes][Lanes * N];
  auto const column = (std::int64_t{blockIdx.x} * Lanes + threadIdx.x) * N;
  auto const part = std::int64_t{blockIdx.y};
  auto const first = part * part_rows;
  auto const last = first + part_rows < rows ? first + part_rows : rows;
  Sum sums[M][N] = {};
  if (column < columns) {
    for (auto row = first + threadIdx.y; row < last; row += row_lanes) {
      Sum v[M][N];
      f.template at<N>(row, column, v);
#pragma unroll
      for (int m = 0; m < M; ++m)
#pragma unroll
        for (int n = 0; n < N; ++n) sums[m][n] += v[m][n];
    }
  }
#pragma unroll
  for (int m = 0; m < M; ++m) {
    __syncthreads();  // the sums of m - 1 are read
#pragma unroll
    for (int n = 0; n < N; ++n) shared[threadIdx.y][threadIdx.x * N + n] = sums[m][n];
    __syncthreads();
    if (threadIdx.y != 0 || column >= columns) continue;
#pragma unroll
    for (int n = 0; n < N; ++n) {
      Sum total = 0;
      for (int y = 0; y < row_lanes; ++y) total += shared[y][threadIdx.x * N + n];
      partials[(part * M + m) * columns + column + n] = total;
    }
  }
}

template <int M, class Sum, class Finish>
__global__ void __launch_bounds__(block_threads)
    column_totals_kernel(std::int64_t columns, std::int64_t parts, Sum const* partials,
                         Finish finish) {
  auto const stride = M * columns;
  for (auto i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < stride;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    Sum total = 0;
    for (std::int64_t part = 0; part < parts; ++part) total += partials[part * stride + i];
    finish(static_cast<int>(i / columns), i % columns, total);
  }
}

/// finish(m, column, Σ_row v[m]) for the M values that f.at<N>(row, column, v) gives for each of N
/// neighbouring columns: Sum v[M][N]. The order of sums depends on the extents alone.
/// \param packs  whether N may be more than 1: all operands and their rows are aligned, and
///               `columns` is a multiple of N
/// \tparam Lanes  threads of a block across columns: fewer for narrow matrices
template <int M, int N, class Sum, int Lanes = 32, class F, class Finish>
void column_sums(Cuda const& cuda, std::int64_t rows, std::int64_t columns, bool packs, F const& f,
                 Finish const& finish) {
  if (columns <= 0) return;
  auto const room = partials_bytes / (M * columns * static_cast<std::int64_t>(sizeof(Sum)));
  require_partials(M * columns * static_cast<std::int64_t>(sizeof(Sum)));
  constexpr std::int64_t rows_per_part = row_steps * (block_threads / Lanes);
  auto const wanted = std::min({(rows + rows_per_part - 1) / rows_per_part, most_parts, room});
  auto const parts = std::max<std::int64_t>(wanted, 1);
  auto const part_rows = (rows + parts - 1) / parts;
  auto* const partials = reinterpret_cast<Sum*>(partials_of(cuda));
  dim3 const block(Lanes, block_threads / Lanes);
  auto const width = Lanes * static_cast<std::int64_t>(packs ? N : 1);
  dim3 const grid(static_cast<unsigned>((columns + width - 1) / width),
                  static_cast<unsigned>(parts));
  if (packs) {
    launch(cuda, {grid, block}, column_partials_kernel<M, N, Lanes, Sum, F>, rows, columns,
           part_rows, f, partials);
  } else {
    launch(cuda, {grid, block}, column_partials_kernel<M, 1, Lanes, Sum, F>, rows, columns,
           part_rows, f, partials);
  }
  launch(cuda, {grid_for(cuda, M * columns), block_threads}, column_totals_kernel<M, Sum, Finish>,
         columns, parts, partials, finish);
}

/// sums[m][column] += total.
template <int M>
struct AddToColumns {
  float* sums[M];
  __device__ void operator()(int m, std::int64_t column, float total) const {
    sums[m][column] += total;
  }
};

}  // namespace dino::cuda
