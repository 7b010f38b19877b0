// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels/cuda/attention_tiled.hpp"
#include "kernels/cuda/reduce.cuh"

namespace dino::cuda {
namespace {

constexpr int tile = 32;                            // rows in shared memory, one for each lane
constexpr int warps = block_threads / 32;           // rows that a block works on, one for each warp
constexpr int most_channels = tiled_head_dim / 32;  // of a head, for each lane

/// The images of a segment, and a head: where a block's rows lie.
struct Heads {
  std::int64_t first_row, tokens, heads, dim;
  float scale;
  __device__ std::int64_t image_row() const { return first_row + blockIdx.x / heads * tokens; }
  __device__ std::int64_t head() const { return blockIdx.x % heads; }
  /// Row of the image that this warp works on.
  __device__ std::int64_t own_row() const {
    return std::int64_t{blockIdx.y} * warps + threadIdx.x / 32;
  }
};

/// Row i of the image in block `which` (0: q, 1: k, 2: v) of a [rows, 3 D] matrix.
template <class T>
__device__ T* qkv_row(T* qkv, Heads const& at, std::int64_t i, int which) {
  auto const width = at.heads * at.dim;
  return qkv + (at.image_row() + i) * 3 * width + which * width + at.head() * at.dim;
}
/// Row i of the image in a [rows, D] matrix.
template <class T>
__device__ T* out_row(T* out, Heads const& at, std::int64_t i) {
  return out + (at.image_row() + i) * at.heads * at.dim + at.head() * at.dim;
}
template <class T>
__device__ T& of_row(T* values, Heads const& at, std::int64_t i) {
  return values[(at.image_row() + i) * at.heads + at.head()];
}

/// Rows [first, first + tile) of a matrix, as floats with a stride of dim + 1: lanes that read one
/// channel of different rows meet no bank twice. Rows beyond the image are zeros.
template <class Row>
__device__ void load_tile(Heads const& at, std::int64_t first, Row const& row, float* to) {
  auto const dim = static_cast<int>(at.dim);
  for (int i = static_cast<int>(threadIdx.x); i < tile * dim; i += block_threads) {
    int const r = i / dim, d = i % dim;
    to[r * (dim + 1) + d] = first + r < at.tokens ? to_float(row(first + r)[d]) : 0.0F;
  }
}

/// This warp's own row, as floats times a factor; zeros where it has none.
template <class Row>
__device__ void load_own(Heads const& at, Row const& row, float factor, float* to) {
  auto const own = at.own_row();
  for (std::int64_t d = threadIdx.x % 32; d < at.dim; d += 32)
    to[d] = own < at.tokens ? factor * to_float(row(own)[d]) : 0.0F;
}

__device__ inline float dot(float const* a, float const* b, int dim) {
  float sum = 0;
  for (int d = 0; d < dim; ++d) sum += a[d] * b[d];
  return sum;
}

/// sums[c] += Σ_r weight_r rows[r, c]; lane r holds the weight of row r, and gets channels lane,
/// lane + 32, ...
__device__ inline void add_weighted_rows(float weight, float const* rows, int dim, int lane,
                                         float (&sums)[most_channels]) {
  for (int r = 0; r < tile; ++r) {
    float const w = __shfl_sync(all_lanes, weight, r);
#pragma unroll
    for (int c = 0; c < most_channels; ++c)
      if (lane + 32 * c < dim) sums[c] += w * rows[r * (dim + 1) + lane + 32 * c];
  }
}

template <class T>
__device__ void store_channels(float const (&sums)[most_channels], float factor, int dim, int lane,
                               T* to) {
#pragma unroll
  for (int c = 0; c < most_channels; ++c)
    if (lane + 32 * c < dim) assign(to[lane + 32 * c], factor * sums[c]);
}

__device__ inline float warp_max(float value) {
  return warp_combine(value, [](float a, float b) { return a > b ? a : b; });
}

/// Two tiles of rows and two own rows of every warp.
struct Shared {
  float *rows_a, *rows_b, *own_a, *own_b;
  __device__ Shared(float* memory, int dim) {
    int const warp = static_cast<int>(threadIdx.x) / 32;
    rows_a = memory;
    rows_b = rows_a + tile * (dim + 1);
    own_a = rows_b + tile * (dim + 1) + 2 * warp * dim;
    own_b = own_a + dim;
  }
};
std::size_t shared_bytes(std::int64_t dim) {
  return sizeof(float) * static_cast<std::size_t>(2 * tile * (dim + 1) + 2 * warps * dim);
}

/// A warp for each query; the softmax is corrected as larger scores are met.
template <class T>
__global__ void __launch_bounds__(block_threads)
    forward_kernel(Heads at, T const* qkv, T* out, float* lse) {
  DINO_DYNAMIC_SHARED(float, memory);
  int const dim = static_cast<int>(at.dim), lane = static_cast<int>(threadIdx.x) % 32;
  Shared const shared(memory, dim);
  load_own(
      at, [&](std::int64_t i) { return qkv_row(qkv, at, i, 0); }, at.scale, shared.own_a);
  float largest = -INFINITY, sum = 0, result[most_channels] = {};
  for (std::int64_t first = 0; first < at.tokens; first += tile) {
    __syncthreads();  // the tiles before are used
    load_tile(
        at, first, [&](std::int64_t i) { return qkv_row(qkv, at, i, 1); }, shared.rows_a);
    load_tile(
        at, first, [&](std::int64_t i) { return qkv_row(qkv, at, i, 2); }, shared.rows_b);
    __syncthreads();
    bool const there = first + lane < at.tokens;
    float const score =
        there ? dot(shared.own_a, shared.rows_a + lane * (dim + 1), dim) : -INFINITY;
    float const before = largest;
    largest = fmaxf(largest, warp_max(score));
    float const correction = expf(before - largest);
    float const p = expf(score - largest);
    sum = sum * correction + warp_sum(p);
#pragma unroll
    for (int c = 0; c < most_channels; ++c) result[c] *= correction;
    add_weighted_rows(p, shared.rows_b, dim, lane, result);
  }
  auto const own = at.own_row();
  if (own >= at.tokens) return;
  store_channels(result, 1.0F / sum, dim, lane, out_row(out, at, own));
  if (lse != nullptr && lane == 0) of_row(lse, at, own) = largest + logf(sum);
}

/// delta = dout · out of every row and head.
template <class T>
struct DeltaRows {
  std::int64_t heads, dim;
  T const *out, *dout;
  float* delta;
  template <int N>
  __device__ void row(std::int64_t item, int lane, int lanes) const {
    float sum = 0;
    for (std::int64_t d = lane; d < dim; d += lanes)
      sum += to_float(out[item * dim + d]) * to_float(dout[item * dim + d]);
    sum = warp_sum(sum);
    if (lane == 0) delta[item] = sum;
  }
};

/// dq: a warp for each query.
template <class T>
__global__ void __launch_bounds__(block_threads)
    query_gradient_kernel(Heads at, T const* qkv, T const* dout, float const* lse,
                          float const* delta, T* dqkv) {
  DINO_DYNAMIC_SHARED(float, memory);
  int const dim = static_cast<int>(at.dim), lane = static_cast<int>(threadIdx.x) % 32;
  Shared const shared(memory, dim);
  load_own(
      at, [&](std::int64_t i) { return qkv_row(qkv, at, i, 0); }, at.scale, shared.own_a);
  load_own(
      at, [&](std::int64_t i) { return out_row(dout, at, i); }, 1, shared.own_b);
  auto const own = at.own_row();
  float const own_lse = own < at.tokens ? of_row(lse, at, own) : 0.0F;
  float const own_delta = own < at.tokens ? of_row(delta, at, own) : 0.0F;
  float dq[most_channels] = {};
  for (std::int64_t first = 0; first < at.tokens; first += tile) {
    __syncthreads();
    load_tile(
        at, first, [&](std::int64_t i) { return qkv_row(qkv, at, i, 1); }, shared.rows_a);
    load_tile(
        at, first, [&](std::int64_t i) { return qkv_row(qkv, at, i, 2); }, shared.rows_b);
    __syncthreads();
    float ds = 0;
    if (first + lane < at.tokens) {
      float const p = expf(dot(shared.own_a, shared.rows_a + lane * (dim + 1), dim) - own_lse);
      ds = p * (dot(shared.own_b, shared.rows_b + lane * (dim + 1), dim) - own_delta);
    }
    add_weighted_rows(ds, shared.rows_a, dim, lane, dq);
  }
  if (own < at.tokens) store_channels(dq, at.scale, dim, lane, qkv_row(dqkv, at, own, 0));
}

/// dk and dv: a warp for each key.
template <class T>
__global__ void __launch_bounds__(block_threads)
    key_gradient_kernel(Heads at, T const* qkv, T const* dout, float const* lse, float const* delta,
                        T* dqkv) {
  DINO_DYNAMIC_SHARED(float, memory);
  int const dim = static_cast<int>(at.dim), lane = static_cast<int>(threadIdx.x) % 32;
  Shared const shared(memory, dim);
  load_own(
      at, [&](std::int64_t i) { return qkv_row(qkv, at, i, 1); }, at.scale, shared.own_a);
  load_own(
      at, [&](std::int64_t i) { return qkv_row(qkv, at, i, 2); }, 1, shared.own_b);
  float dk[most_channels] = {}, dv[most_channels] = {};
  for (std::int64_t first = 0; first < at.tokens; first += tile) {
    __syncthreads();
    load_tile(
        at, first, [&](std::int64_t i) { return qkv_row(qkv, at, i, 0); }, shared.rows_a);
    load_tile(
        at, first, [&](std::int64_t i) { return out_row(dout, at, i); }, shared.rows_b);
    __syncthreads();
    float p = 0, ds = 0;
    if (first + lane < at.tokens) {
      float const score = dot(shared.own_a, shared.rows_a + lane * (dim + 1), dim);
      p = expf(score - of_row(lse, at, first + lane));
      ds = p * (dot(shared.own_b, shared.rows_b + lane * (dim + 1), dim) -
                of_row(delta, at, first + lane));
    }
    add_weighted_rows(p, shared.rows_b, dim, lane, dv);
    add_weighted_rows(ds, shared.rows_a, dim, lane, dk);
  }
  auto const own = at.own_row();
  if (own >= at.tokens) return;
  store_channels(dk, at.scale, dim, lane, qkv_row(dqkv, at, own, 1));
  store_channels(dv, 1, dim, lane, qkv_row(dqkv, at, own, 2));
}

/// visit(heads, shape of a launch) for every segment with images.
template <class Visit>
void for_segments(TokenLayout const& layout, std::int64_t heads, std::int64_t width,
                  Visit const& visit) {
  auto const dim = width / heads;
  for (auto const& segment : layout.segments()) {
    if (segment.images == 0) continue;
    Heads const at{segment.first_row, segment.tokens(), heads, dim,
                   1.0F / std::sqrt(static_cast<float>(dim))};
    dim3 const grid(static_cast<unsigned>(segment.images * heads),
                    static_cast<unsigned>((segment.tokens() + warps - 1) / warps));
    visit(at, LaunchShape{grid, block_threads, shared_bytes(dim)});
  }
}

}  // namespace

template <class T>
void attention_tiled(Cuda const& cuda, AttentionForward<T> const& op) {
  auto* const lse = op.lse.size() > 0 ? op.lse.data() : nullptr;
  for_segments(*op.layout, op.heads, op.out.extent(1),
               [&](Heads const& at, LaunchShape const& shape) {
                 launch(cuda, shape, forward_kernel<T>, at, op.qkv.data(), op.out.data(), lse);
               });
}

template <class T>
void attention_tiled(Cuda const& cuda, AttentionBackward<T> const& op) {
  auto const width = op.out.extent(1);
  auto* const delta = reinterpret_cast<float*>(op.scratch);
  for_warp_rows<1>(cuda, op.out.extent(0) * op.heads, false,
                   DeltaRows<T>{op.heads, width / op.heads, op.out.data(), op.dout.data(), delta});
  for_segments(*op.layout, op.heads, width, [&](Heads const& at, LaunchShape const& shape) {
    auto const start = [&](auto* kernel) {
      launch(cuda, shape, kernel, at, op.qkv.data(), op.dout.data(), op.lse.data(), delta,
             op.dqkv.data());
    };
    start(query_gradient_kernel<T>);
    start(key_gradient_kernel<T>);
  });
}

template void attention_tiled(Cuda const&, AttentionForward<float> const&);
template void attention_tiled(Cuda const&, AttentionForward<bfloat16> const&);
template void attention_tiled(Cuda const&, AttentionBackward<float> const&);
template void attention_tiled(Cuda const&, AttentionBackward<bfloat16> const&);

namespace {

/// to[i, j, k] = from[i, k, j] of [n, columns, rows] and [n, rows, columns].
struct SwapAxes {
  std::int64_t rows, columns;
  float const* from;
  float* to;
  template <int N>
  __device__ void at(std::int64_t i) const {
    auto const plane = i / (rows * columns), row = i / columns % rows, column = i % columns;
    to[i] = from[(plane * columns + column) * rows + row];
  }
};

}  // namespace

void statistics_to_lse(Cuda const& cuda, StatisticsShape const& s, float const* statistics,
                       float* lse) {
  for_values<1>(cuda, s.images * s.tokens * s.heads, false,
                SwapAxes{s.tokens, s.heads, statistics, lse});
}

void lse_to_statistics(Cuda const& cuda, StatisticsShape const& s, float const* lse,
                       float* statistics) {
  for_values<1>(cuda, s.images * s.tokens * s.heads, false,
                SwapAxes{s.heads, s.tokens, lse, statistics});
}

namespace {

/// A row of probabilities for a warp: of one image, head and query.
template <class T>
struct ProbabilityRows {
  std::int64_t first_row, tokens, heads, dim;
  float scale;
  T const* qkv;
  float* probabilities;
  template <int N>
  __device__ void row(std::int64_t i, int lane, int lanes) const {
    auto const width = heads * dim;
    auto const image = i / (heads * tokens), head = i / tokens % heads;
    auto const* const base = qkv + (first_row + image * tokens) * 3 * width + head * dim;
    auto const* const q = base + i % tokens * 3 * width;
    auto* const p = probabilities + i * tokens;
    float largest = -INFINITY, sum = 0;
    for (std::int64_t j = lane; j < tokens; j += lanes) {
      auto const* const k = base + j * 3 * width + width;
      float score = 0;
      for (std::int64_t d = 0; d < dim; ++d) score += to_float(q[d]) * to_float(k[d]);
      p[j] = scale * score;
      largest = fmaxf(largest, p[j]);
    }
    largest = warp_max(largest);
    for (std::int64_t j = lane; j < tokens; j += lanes) {
      p[j] = expf(p[j] - largest);
      sum += p[j];
    }
    float const factor = 1.0F / warp_sum(sum);
    for (std::int64_t j = lane; j < tokens; j += lanes) p[j] *= factor;
  }
};

}  // namespace

}  // namespace dino::cuda

namespace dino {

template <class T>
void execute(Cuda const& cuda, AttentionProbabilities<T> const& op) {
  auto const& segment = op.layout->segments().front();
  auto const dim = op.qkv.extent(1) / (3 * op.heads);
  cuda::for_warp_rows<1>(cuda, segment.images * op.heads * segment.tokens(), false,
                         cuda::ProbabilityRows<T>{segment.first_row, segment.tokens(), op.heads,
                                                  dim, 1.0F / std::sqrt(static_cast<float>(dim)),
                                                  op.qkv.data(), op.probabilities.data()});
}

template void execute(Cuda const&, AttentionProbabilities<float> const&);
template void execute(Cuda const&, AttentionProbabilities<bfloat16> const&);

}  // namespace dino
