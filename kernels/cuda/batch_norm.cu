// SPDX-License-Identifier: Apache-2.0
#include "kernels/batch_norm.hpp"
#include "kernels/cuda/column_sums.cuh"

namespace dino {
namespace {

template <class T>
struct Moments {
  std::int64_t width;
  T const* x;
  template <int N>
  __device__ void at(std::int64_t row, std::int64_t d, double (&v)[2][N]) const {
    float values[N];
    cuda::load<N>(x + row * width + d, values);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      auto const value = static_cast<double>(values[k]);
      v[0][k] = value;
      v[1][k] = value * value;
    }
  }
};

/// sums[m, column] = total.
struct KeepSums {
  std::int64_t width;
  double* sums;
  __device__ void operator()(int m, std::int64_t column, double total) const {
    sums[m * width + column] = total;
  }
};

/// The same, and totals are added to the gradients of bias and weight.
struct KeepAndAddSums {
  std::int64_t width;
  double* sums;
  float* gradients[2];
  __device__ void operator()(int m, std::int64_t column, double total) const {
    sums[m * width + column] = total;
    gradients[m][column] += static_cast<float>(total);
  }
};

/// x̂ = (x - mean) rstd of N columns.
template <class T>
struct Normalized {
  T const* x;
  float const *mean, *rstd;
  template <int N>
  __device__ void at(std::int64_t line, std::int64_t d, float (&v)[N]) const {
    float m[N], r[N];
    cuda::load<N>(x + line + d, v);
    cuda::load<N>(mean + d, m);
    cuda::load<N>(rstd + d, r);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] = (v[k] - m[k]) * r[k];
  }
};

/// dz = dy where there is no ReLU (y is null) or y > 0, else 0.
template <class T>
struct Rectified {
  T const *dy, *y;
  template <int N>
  __device__ void at(std::int64_t i, float (&v)[N]) const {
    cuda::load<N>(dy + i, v);
    if (y == nullptr) return;
    float result[N];
    cuda::load<N>(y + i, result);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] = result[k] > 0 ? v[k] : 0.0F;
  }
};

template <class T>
struct ForwardRows {
  std::int64_t width;
  Normalized<T> normalized;
  T const *weight, *bias, *residual;
  bool relu;
  T* y;
  __device__ std::int64_t line(std::int64_t row) const { return row * width; }
  template <int N>
  __device__ void at(std::int64_t line, std::int64_t d, float (&z)[N]) const {
    float w[N], b[N];
    normalized.template at<N>(line, d, z);
    cuda::load<N>(weight + d, w);
    cuda::load<N>(bias + d, b);
#pragma unroll
    for (int k = 0; k < N; ++k) z[k] = z[k] * w[k] + b[k];
  }
  template <int N>
  __device__ void at(std::int64_t line, std::int64_t d) const {
    float z[N];
    at<N>(line, d, z);
    if (residual != nullptr) {
      float r[N];
      cuda::load<N>(residual + line + d, r);
#pragma unroll
      for (int k = 0; k < N; ++k) z[k] += r[k];
    }
    if (relu) {
#pragma unroll
      for (int k = 0; k < N; ++k) z[k] = z[k] < 0 ? 0.0F : z[k];  // NaN stays NaN
    }
    cuda::store<N>(y + line + d, z);
  }
};

template <class T>
struct BackwardSums {
  std::int64_t width;
  Rectified<T> dz;
  Normalized<T> normalized;
  template <int N>
  __device__ void at(std::int64_t row, std::int64_t d, double (&v)[2][N]) const {
    float gradient[N], x[N];
    dz.template at<N>(row * width + d, gradient);
    normalized.template at<N>(row * width, d, x);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      v[0][k] = static_cast<double>(gradient[k]);
      v[1][k] = static_cast<double>(gradient[k] * x[k]);
    }
  }
};

template <class T>
struct BackwardRows {
  std::int64_t width;
  Rectified<T> dz;
  Normalized<T> normalized;
  T const* weight;
  double const* sums;
  double share;  ///< 1 / n
  T *dx, *dresidual;
  __device__ std::int64_t line(std::int64_t row) const { return row * width; }
  template <int N>
  __device__ void at(std::int64_t line, std::int64_t d) const {
    float gradient[N], x[N], w[N], r[N];
    dz.template at<N>(line + d, gradient);
    normalized.template at<N>(line, d, x);
    cuda::load<N>(weight + d, w);
    cuda::load<N>(normalized.rstd + d, r);
    if (dresidual != nullptr) cuda::store<N>(dresidual + line + d, gradient);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      auto const average = static_cast<float>(sums[d + k] * share);
      auto const slope = static_cast<float>(sums[width + d + k] * share);
      gradient[k] = w[k] * r[k] * (gradient[k] - average - x[k] * slope);
    }
    cuda::store<N>(dx + line + d, gradient);
  }
};

/// finish(m, column, total) of both sums of each column. Their order depends on the extents and on
/// whether there are packs: the bits are the same for operands of one alignment.
template <class T, class F, class Finish>
void sum_columns(Cuda const& cuda, View<T const, 2> x, bool packs, F const& f,
                 Finish const& finish) {
  constexpr int n = cuda::pack_size<T>;
  constexpr int few = 8;  // for the narrowest maps, which are the longest
  auto const rows = x.extent(0), width = x.extent(1);
  if (packs && width <= few * n) {
    cuda::column_sums<2, n, double, few>(cuda, rows, width, packs, f, finish);
  } else {
    cuda::column_sums<2, n, double>(cuda, rows, width, packs, f, finish);
  }
}

}  // namespace

template <class T>
void execute(Cuda const& cuda, BatchMoments<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const width = op.x.extent(1);
  sum_columns(cuda, op.x, cuda::aligned_rows<n>(width, op.x.data()), Moments<T>{width, op.x.data()},
              KeepSums{width, op.sums.data()});
}

template <class T>
void execute(Cuda const& cuda, BatchNormForward<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const width = op.x.extent(1);
  ForwardRows<T> const rows{
      width,          {op.x.data(), op.mean.data(), op.rstd.data()},         op.weight.data(),
      op.bias.data(), op.residual.size() > 0 ? op.residual.data() : nullptr, op.relu == Relu::yes,
      op.y.data()};
  bool const packs = cuda::aligned_rows<n>(width, op.x.data(), op.mean.data(), op.rstd.data(),
                                           rows.weight, rows.bias, rows.residual, rows.y);
  cuda::for_rows<n>(cuda, op.x.extent(0), width, packs, rows);
}

template <class T>
void execute(Cuda const& cuda, BatchNormBackwardSums<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const width = op.x.extent(1);
  BackwardSums<T> const sums{width,
                             {op.dy.data(), op.y.size() > 0 ? op.y.data() : nullptr},
                             {op.x.data(), op.mean.data(), op.rstd.data()}};
  bool const packs = cuda::aligned_rows<n>(width, op.x.data(), op.mean.data(), op.rstd.data(),
                                           op.dy.data(), sums.dz.y);
  sum_columns(cuda, op.x, packs, sums,
              KeepAndAddSums{width, op.sums.data(), {op.dbias.data(), op.dweight.data()}});
}

template <class T>
void execute(Cuda const& cuda, BatchNormBackward<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  if (op.x.size() == 0) return;
  auto const width = op.x.extent(1);
  BackwardRows<T> const rows{width,
                             {op.dy.data(), op.y.size() > 0 ? op.y.data() : nullptr},
                             {op.x.data(), op.mean.data(), op.rstd.data()},
                             op.weight.data(),
                             op.sums.data(),
                             1.0 / op.rows,
                             op.dx.data(),
                             op.dresidual.size() > 0 ? op.dresidual.data() : nullptr};
  bool const packs =
      cuda::aligned_rows<n>(width, op.x.data(), op.mean.data(), op.rstd.data(), op.weight.data(),
                            op.dy.data(), rows.dz.y, rows.dx, rows.dresidual);
  cuda::for_rows<n>(cuda, op.x.extent(0), width, packs, rows);
}

template void execute(Cuda const&, BatchMoments<float> const&);
template void execute(Cuda const&, BatchMoments<bfloat16> const&);
template void execute(Cuda const&, BatchNormForward<float> const&);
template void execute(Cuda const&, BatchNormForward<bfloat16> const&);
template void execute(Cuda const&, BatchNormBackwardSums<float> const&);
template void execute(Cuda const&, BatchNormBackwardSums<bfloat16> const&);
template void execute(Cuda const&, BatchNormBackward<float> const&);
template void execute(Cuda const&, BatchNormBackward<bfloat16> const&);

}  // namespace dino
