// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/column_sums.cuh"
#include "kernels/norm.hpp"

namespace dino {
namespace {

/// Σ f(v, d) over a row of `width` values, by the lanes of a warp; f is given packs of x.
template <int N, class T, class F>
__device__ float row_sum(T const* x, std::int64_t width, int lane, int lanes, F const& f) {
  float sum = 0;
  for (std::int64_t d = std::int64_t{lane} * N; d < width; d += std::int64_t{lanes} * N) {
    float v[N];
    cuda::load<N>(x + d, v);
#pragma unroll
    for (int k = 0; k < N; ++k) sum += f(v[k]);
  }
  return cuda::warp_sum(sum);
}

/// Σ a b over two rows.
template <int N, class A, class B>
__device__ float row_dot(A const* a, B const* b, std::int64_t width, int lane, int lanes) {
  float sum = 0;
  for (std::int64_t d = std::int64_t{lane} * N; d < width; d += std::int64_t{lanes} * N) {
    float v[N], w[N];
    cuda::load<N>(a + d, v);
    cuda::load<N>(b + d, w);
#pragma unroll
    for (int k = 0; k < N; ++k) sum += v[k] * w[k];
  }
  return cuda::warp_sum(sum);
}

/// to = factor * from, a row.
template <int N, class T, class U>
__device__ void scale_row(T const* from, float factor, U* to, std::int64_t width, int lane,
                          int lanes) {
  for (std::int64_t d = std::int64_t{lane} * N; d < width; d += std::int64_t{lanes} * N) {
    float v[N];
    cuda::load<N>(from + d, v);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] *= factor;
    cuda::store<N>(to + d, v);
  }
}

template <class T>
struct LayerNormRows {
  std::int64_t width;
  T const *x, *weight, *bias;
  T* y;
  float *mean, *rstd;  ///< null: not kept
  float eps;
  template <int N>
  __device__ void row(std::int64_t row, int lane, int lanes) const {
    auto const* const from = x + row * width;
    auto const n = static_cast<float>(width);
    float const m = row_sum<N>(from, width, lane, lanes, [](float v) { return v; }) / n;
    float const variance =
        row_sum<N>(from, width, lane, lanes, [=](float v) { return (v - m) * (v - m); }) / n;
    float const r = 1.0F / sqrtf(variance + eps);
    for (std::int64_t d = std::int64_t{lane} * N; d < width; d += std::int64_t{lanes} * N) {
      float v[N], w[N], b[N];
      cuda::load<N>(from + d, v);
      cuda::load<N>(weight + d, w);
      cuda::load<N>(bias + d, b);
#pragma unroll
      for (int k = 0; k < N; ++k) v[k] = (v[k] - m) * r * w[k] + b[k];
      cuda::store<N>(y + row * width + d, v);
    }
    if (mean != nullptr && lane == 0) {
      mean[row] = m;
      rstd[row] = r;
    }
  }
};

template <class T>
struct RmsNormRows {
  std::int64_t width;
  T const *x, *weight;
  T* y;
  float* rstd;  ///< null: not kept
  float eps;
  template <int N>
  __device__ void row(std::int64_t row, int lane, int lanes) const {
    auto const* const from = x + row * width;
    float const squares = row_sum<N>(from, width, lane, lanes, [](float v) { return v * v; });
    float const r = 1.0F / sqrtf(squares / static_cast<float>(width) + eps);
    for (std::int64_t d = std::int64_t{lane} * N; d < width; d += std::int64_t{lanes} * N) {
      float v[N], w[N];
      cuda::load<N>(from + d, v);
      cuda::load<N>(weight + d, w);
#pragma unroll
      for (int k = 0; k < N; ++k) v[k] = v[k] * r * w[k];
      cuda::store<N>(y + row * width + d, v);
    }
    if (rstd != nullptr && lane == 0) rstd[row] = r;
  }
};

/// dx of either norm, see norm_row_backward of the host; `mean` null: the rows are not centred.
template <class T>
struct NormBackwardRows {
  std::int64_t width;
  T const *dy, *x, *weight;
  float const *mean, *rstd;
  T* dx;
  bool accumulate;

  template <int N>
  __device__ void row(std::int64_t row, int lane, int lanes) const {
    auto const at = row * width;
    float const m = mean != nullptr ? mean[row] : 0.0F, r = rstd[row];
    float sum = 0, product = 0;
    for (std::int64_t d = std::int64_t{lane} * N; d < width; d += std::int64_t{lanes} * N) {
      float g[N], v[N];
      gradient<N>(at, d, m, r, g, v);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        sum += g[k];
        product += g[k] * v[k];
      }
    }
    auto const n = static_cast<float>(width);
    float const average = mean != nullptr ? cuda::warp_sum(sum) / n : 0.0F;
    float const slope = cuda::warp_sum(product) / n;
    for (std::int64_t d = std::int64_t{lane} * N; d < width; d += std::int64_t{lanes} * N) {
      float g[N], v[N];
      gradient<N>(at, d, m, r, g, v);
      float before[N] = {};
      if (accumulate) cuda::load<N>(dx + at + d, before);
#pragma unroll
      for (int k = 0; k < N; ++k) g[k] = before[k] + r * (g[k] - average - v[k] * slope);
      cuda::store<N>(dx + at + d, g);
    }
  }

  /// g = dy weight and v = (x - mean) rstd.
  template <int N>
  __device__ void gradient(std::int64_t at, std::int64_t d, float m, float r, float (&g)[N],
                           float (&v)[N]) const {
    float w[N];
    cuda::load<N>(dy + at + d, g);
    cuda::load<N>(x + at + d, v);
    cuda::load<N>(weight + d, w);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      g[k] *= w[k];
      v[k] = (v[k] - m) * r;
    }
  }
};

/// dy x̂ and, as the second of M, dy.
template <class T, int M>
struct NormColumns {
  std::int64_t width;
  T const *dy, *x;
  float const *mean, *rstd;
  template <int N>
  __device__ void at(std::int64_t row, std::int64_t d, float (&v)[M][N]) const {
    float const m = mean != nullptr ? mean[row] : 0.0F, r = rstd[row];
    float g[N];
    cuda::load<N>(dy + row * width + d, g);
    cuda::load<N>(x + row * width + d, v[0]);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      v[0][k] = g[k] * ((v[0][k] - m) * r);
      if constexpr (M == 2) v[1][k] = g[k];
    }
  }
};

template <class T>
struct L2NormalizeRows {
  std::int64_t width;
  T const* x;
  T* y;
  float* norm;
  float eps;
  template <int N>
  __device__ void row(std::int64_t row, int lane, int lanes) const {
    auto const at = row * width;
    float const length = sqrtf(row_dot<N>(x + at, x + at, width, lane, lanes));
    float const factor = 1.0F / (length < eps ? eps : length);
    scale_row<N>(x + at, factor, y + at, width, lane, lanes);
    if (lane == 0) norm[row] = length;
  }
};

template <class T>
struct L2NormalizeBackwardRows {
  std::int64_t width;
  T const *dy, *y;
  float const* norm;
  T* dx;
  float eps;
  template <int N>
  __device__ void row(std::int64_t row, int lane, int lanes) const {
    auto const at = row * width;
    bool const clamped = !(norm[row] > eps);
    float const factor = 1.0F / (clamped ? eps : norm[row]);
    float const dot = row_dot<N>(y + at, dy + at, width, lane, lanes);
    float const projection = clamped ? 0.0F : dot;
    for (std::int64_t d = std::int64_t{lane} * N; d < width; d += std::int64_t{lanes} * N) {
      float g[N], v[N];
      cuda::load<N>(dy + at + d, g);
      cuda::load<N>(y + at + d, v);
#pragma unroll
      for (int k = 0; k < N; ++k) g[k] = (g[k] - v[k] * projection) * factor;
      cuda::store<N>(dx + at + d, g);
    }
  }
};

template <class T>
struct WeightNormRows {
  std::int64_t width;
  T const *g, *v;
  T* weight;
  template <int N>
  __device__ void row(std::int64_t row, int lane, int lanes) const {
    auto const* const from = v + row * width;
    float const squares = row_dot<N>(from, from, width, lane, lanes);
    scale_row<N>(from, cuda::to_float(g[row]) / sqrtf(squares), weight + row * width, width, lane,
                 lanes);
  }
};

template <class T>
struct WeightNormBackwardRows {
  std::int64_t width;
  float const* dweight;
  T const *g, *v;
  float *dg, *dv;  ///< dg null: g is frozen
  template <int N>
  __device__ void row(std::int64_t row, int lane, int lanes) const {
    auto const at = row * width;
    float const inverse = 1.0F / sqrtf(row_dot<N>(v + at, v + at, width, lane, lanes));
    float const projection = inverse * row_dot<N>(dweight + at, v + at, width, lane, lanes);
    float const factor = cuda::to_float(g[row]) * inverse, along = projection * inverse;
    if (dg != nullptr && lane == 0) dg[row] += projection;
    for (std::int64_t d = std::int64_t{lane} * N; d < width; d += std::int64_t{lanes} * N) {
      float gradient[N], direction[N], sum[N];
      cuda::load<N>(dweight + at + d, gradient);
      cuda::load<N>(v + at + d, direction);
      cuda::load<N>(dv + at + d, sum);
#pragma unroll
      for (int k = 0; k < N; ++k) sum[k] += factor * (gradient[k] - along * direction[k]);
      cuda::store<N>(dv + at + d, sum);
    }
  }
};

}  // namespace

template <class T>
void execute(Cuda const& cuda, LayerNormForward<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const width = op.x.extent(1);
  bool const keep = op.mean.size() > 0;
  cuda::for_warp_rows<n>(
      cuda, op.x.extent(0),
      cuda::aligned_rows<n>(width, op.x.data(), op.weight.data(), op.bias.data(), op.y.data()),
      LayerNormRows<T>{width, op.x.data(), op.weight.data(), op.bias.data(), op.y.data(),
                       keep ? op.mean.data() : nullptr, op.rstd.data(), op.eps});
}

// The column sums come first, because dx may take the place of dy.
template <class T>
void execute(Cuda const& cuda, LayerNormBackward<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const rows = op.x.extent(0), width = op.x.extent(1);
  if (rows == 0) return;
  cuda::column_sums<2, n, float>(
      cuda, rows, width, cuda::aligned_rows<n>(width, op.dy.data(), op.x.data()),
      NormColumns<T, 2>{width, op.dy.data(), op.x.data(), op.mean.data(), op.rstd.data()},
      cuda::AddToColumns<2>{{op.dweight.data(), op.dbias.data()}});
  cuda::for_warp_rows<n>(
      cuda, rows,
      cuda::aligned_rows<n>(width, op.dy.data(), op.x.data(), op.weight.data(), op.dx.data()),
      NormBackwardRows<T>{width, op.dy.data(), op.x.data(), op.weight.data(), op.mean.data(),
                          op.rstd.data(), op.dx.data(), op.accumulate});
}

template <class T>
void execute(Cuda const& cuda, RmsNormForward<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const width = op.x.extent(1);
  cuda::for_warp_rows<n>(cuda, op.x.extent(0),
                         cuda::aligned_rows<n>(width, op.x.data(), op.weight.data(), op.y.data()),
                         RmsNormRows<T>{width, op.x.data(), op.weight.data(), op.y.data(),
                                        op.rstd.size() > 0 ? op.rstd.data() : nullptr, op.eps});
}

template <class T>
void execute(Cuda const& cuda, RmsNormBackward<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const rows = op.x.extent(0), width = op.x.extent(1);
  if (rows == 0) return;
  cuda::column_sums<1, n, float>(
      cuda, rows, width, cuda::aligned_rows<n>(width, op.dy.data(), op.x.data()),
      NormColumns<T, 1>{width, op.dy.data(), op.x.data(), nullptr, op.rstd.data()},
      cuda::AddToColumns<1>{{op.dweight.data()}});
  cuda::for_warp_rows<n>(
      cuda, rows,
      cuda::aligned_rows<n>(width, op.dy.data(), op.x.data(), op.weight.data(), op.dx.data()),
      NormBackwardRows<T>{width, op.dy.data(), op.x.data(), op.weight.data(), nullptr,
                          op.rstd.data(), op.dx.data(), op.accumulate});
}

template <class T>
void execute(Cuda const& cuda, L2NormalizeForward<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const width = op.x.extent(1);
  cuda::for_warp_rows<n>(
      cuda, op.x.extent(0), cuda::aligned_rows<n>(width, op.x.data(), op.y.data()),
      L2NormalizeRows<T>{width, op.x.data(), op.y.data(), op.norm.data(), op.eps});
}

template <class T>
void execute(Cuda const& cuda, L2NormalizeBackward<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const width = op.y.extent(1);
  cuda::for_warp_rows<n>(cuda, op.y.extent(0),
                         cuda::aligned_rows<n>(width, op.dy.data(), op.y.data(), op.dx.data()),
                         L2NormalizeBackwardRows<T>{width, op.dy.data(), op.y.data(),
                                                    op.norm.data(), op.dx.data(), op.eps});
}

template <class T>
void execute(Cuda const& cuda, WeightNormForward<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const width = op.v.extent(1);
  cuda::for_warp_rows<n>(cuda, op.v.extent(0),
                         cuda::aligned_rows<n>(width, op.v.data(), op.weight.data()),
                         WeightNormRows<T>{width, op.g.data(), op.v.data(), op.weight.data()});
}

template <class T>
void execute(Cuda const& cuda, WeightNormBackward<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const width = op.v.extent(1);
  cuda::for_warp_rows<n>(
      cuda, op.v.extent(0),
      cuda::aligned_rows<n>(width, op.v.data(), op.dweight.data(), op.dv.data()),
      WeightNormBackwardRows<T>{width, op.dweight.data(), op.g.data(), op.v.data(),
                                op.dg.size() > 0 ? op.dg.data() : nullptr, op.dv.data()});
}

template void execute(Cuda const&, LayerNormForward<float> const&);
template void execute(Cuda const&, LayerNormForward<bfloat16> const&);
template void execute(Cuda const&, LayerNormBackward<float> const&);
template void execute(Cuda const&, LayerNormBackward<bfloat16> const&);
template void execute(Cuda const&, RmsNormForward<float> const&);
template void execute(Cuda const&, RmsNormForward<bfloat16> const&);
template void execute(Cuda const&, RmsNormBackward<float> const&);
template void execute(Cuda const&, RmsNormBackward<bfloat16> const&);
template void execute(Cuda const&, L2NormalizeForward<float> const&);
template void execute(Cuda const&, L2NormalizeForward<bfloat16> const&);
template void execute(Cuda const&, L2NormalizeBackward<float> const&);
template void execute(Cuda const&, L2NormalizeBackward<bfloat16> const&);
template void execute(Cuda const&, WeightNormForward<float> const&);
template void execute(Cuda const&, WeightNormForward<bfloat16> const&);
template void execute(Cuda const&, WeightNormBackward<float> const&);
template void execute(Cuda const&, WeightNormBackward<bfloat16> const&);

}  // namespace dino
