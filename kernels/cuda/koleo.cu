// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/reduce.cuh"
#include "kernels/koleo.hpp"

namespace dino {
namespace {

/// A column and its similarity; rank 0 comes before rank 1 (the row's own column).
struct Candidate {
  float similarity;
  std::int32_t rank;
  std::int64_t column;
};

/// The order of neighbours, a total one: NaN counts as -infinity.
__device__ bool before(Candidate const& a, Candidate const& b) {
  if (a.rank != b.rank) return a.rank < b.rank;
  if (a.similarity != b.similarity) return a.similarity > b.similarity;
  return a.column < b.column;
}

struct EarlierCandidate {
  __device__ Candidate operator()(Candidate const& a, Candidate const& b) const {
    return before(b, a) ? b : a;
  }
};

/// One neighbour after the other: the first of those that come after the one before.
struct NeighbourRows {
  float const* similarity;
  std::int64_t first, columns, topk;
  std::int64_t* neighbours;
  template <int N>
  __device__ void row(std::int64_t row, int lane, int lanes) const {
    auto const* const s = similarity + row * columns;
    auto const own = first + row;
    Candidate last{INFINITY, -1, -1};
    for (std::int64_t i = 0; i < topk; ++i) {
      Candidate mine{-INFINITY, 2, columns};  // after all others
      for (std::int64_t k = lane; k < columns; k += lanes) {
        float const value = isnan(s[k]) ? -INFINITY : s[k];
        Candidate const candidate{value, k == own ? 1 : 0, k};
        if (before(last, candidate) && before(candidate, mine)) mine = candidate;
      }
      last = cuda::block_combine(mine, EarlierCandidate{});
      if (lane == 0) neighbours[row * topk + i] = last.column;
    }
  }
};

/// Distances of pairs, a warp for each.
struct PairRows {
  float const* u;
  std::int64_t dim, topk, begin, end;
  std::int64_t const* neighbours;
  double eps, factor;
  double *coefficients, *logarithms;  ///< of each pair
  template <int N>
  __device__ void row(std::int64_t pair, int lane, int lanes) const {
    auto const i = pair / topk;
    auto const* const a = u + i * dim;
    auto const* const b = u + neighbours[pair] * dim;
    double squares = 0;
    for (std::int64_t k = lane; k < dim; k += lanes) {
      double const e = static_cast<double>(a[k]) - static_cast<double>(b[k]) + eps;
      squares += e * e;
    }
    double const d = sqrt(cuda::warp_sum(squares));
    if (lane != 0) return;
    coefficients[pair] = factor / (d * (d + eps));
    logarithms[pair] = i >= begin && i < end ? log(d + eps) : 0.0;
  }
};

/// The gradient of a row: its own pairs and those that it is the neighbour of, in the order of the
/// pairs. Every thread passes over all pairs for its columns.
__global__ void __launch_bounds__(cuda::block_threads)
    gradient_kernel(float const* u, std::int64_t const* neighbours, double const* coefficients,
                    std::int64_t rows, std::int64_t dim, std::int64_t topk, double eps, float* du) {
  __shared__ unsigned hits[cuda::block_threads / 32];  // of a tile of pairs, a bit for each
  auto const row = std::int64_t{blockIdx.x};
  auto const column = std::int64_t{blockIdx.y} * blockDim.x + threadIdx.x;
  float sum = 0;
  for (std::int64_t tile = 0; tile < rows * topk; tile += blockDim.x) {
    auto const pair = tile + threadIdx.x;
    bool hit = false;
    if (pair < rows * topk) {
      auto const i = pair / topk, j = neighbours[pair];
      hit = i != j && (i == row || j == row);  // a row with itself: both shares cancel
    }
    unsigned const mask = __ballot_sync(cuda::all_lanes, hit);
    __syncthreads();  // the tile before is read
    if (threadIdx.x % 32 == 0) hits[threadIdx.x / 32] = mask;
    __syncthreads();
    if (column >= dim) continue;
    for (int warp = 0; warp < cuda::block_threads / 32; ++warp) {
      for (unsigned rest = hits[warp]; rest != 0; rest &= rest - 1) {
        auto const found = tile + warp * 32 + __ffs(static_cast<int>(rest)) - 1;
        auto const i = found / topk, j = neighbours[found];
        auto const e = static_cast<double>(u[i * dim + column]) -
                       static_cast<double>(u[j * dim + column]) + eps;
        auto const share = static_cast<float>(coefficients[found] * e);
        sum += i == row ? -share : share;
      }
    }
  }
  if (column < dim) du[row * dim + column] = sum;
}

}  // namespace

void execute(Cuda const& cuda, TopNeighbours const& op) {
  cuda::for_block_rows<1>(cuda, op.similarity.extent(0), false,
                          NeighbourRows{op.similarity.data(), op.first, op.similarity.extent(1),
                                        op.neighbours.extent(1), op.neighbours.data()});
}

void execute(Cuda const& cuda, KoleoPairs const& op) {
  auto const rows = op.u.extent(0), dim = op.u.extent(1), topk = op.neighbours.extent(1);
  if (rows == 0) return;
  auto const pairs = rows * topk;
  auto const eps = static_cast<double>(op.eps);
  cuda::require_partials(pairs * static_cast<std::int64_t>(sizeof(double)));
  auto* const logarithms = reinterpret_cast<double*>(cuda::partials_of(cuda));
  cuda::for_warp_rows<1>(
      cuda, pairs, false,
      PairRows{op.u.data(), dim, topk, op.begin, op.end, op.neighbours.data(), eps,
               op.gradient_factor * op.weight, op.coefficients.data(), logarithms});
  cuda::add_sum(cuda, logarithms, pairs, -op.weight, op.loss.data());
  if (dim == 0) return;
  dim3 const grid(static_cast<unsigned>(rows),
                  static_cast<unsigned>((dim + cuda::block_threads - 1) / cuda::block_threads));
  cuda::launch(cuda, {grid, cuda::block_threads}, gradient_kernel, op.u.data(),
               op.neighbours.data(), op.coefficients.data(), rows, dim, topk, eps, op.du.data());
}

}  // namespace dino
