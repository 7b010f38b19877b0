// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.hpp"
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/math.cuh"

namespace dino {
namespace {

// The epilogues CUBLASLT_EPILOGUE_GELU* and DGELU* of cuBLASLt would save these passes, but theirs
// is the approximation with tanh; the method (and every published weight) has the form with erf.
// They differ by up to 5e-4. So GELU has kernels of its own, and the bias gradient that cuBLASLt
// would fuse with DGELU is summed in its backward pass.

template <class T>
struct GeluValues {
  T const* x;
  T* y;
  template <int N>
  __device__ void at(std::int64_t i) const {
    float v[N];
    cuda::load<N>(x + i, v);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] *= cuda::normal<T>(v[k]).cumulative;
    cuda::store<N>(y + i, v);
  }
};

template <class T>
struct GeluSlopes {
  T const *x, *dy;
  T* dx;
  std::int64_t width = 0;
  /// \param d  dx as it would be in float32
  template <int N>
  __device__ void compute(std::int64_t i, float (&d)[N]) const {
    constexpr float density = 0.398942280401433F;  // 1 / sqrt(2 pi)
    float v[N];
    cuda::load<N>(x + i, v);
    cuda::load<N>(dy + i, d);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      auto const normal = cuda::normal<T>(v[k]);
      d[k] *= normal.cumulative + v[k] * density * normal.exponential;
    }
    cuda::store<N>(dx + i, d);
  }
  template <int N>
  __device__ void at(std::int64_t i) const {
    float d[N];
    compute(i, d);
  }
  /// For the sums of columns, of dx as it is stored.
  template <int N>
  __device__ void at(std::int64_t row, std::int64_t column, float (&d)[1][N]) const {
    compute(row * width + column, d[0]);
#pragma unroll
    for (int k = 0; k < N; ++k) d[0][k] = cuda::rounded<T>(d[0][k]);
  }
};

template <class T>
struct SwigluRows {
  std::int64_t width;
  T const* x;
  T* y;
  __device__ std::int64_t line(std::int64_t row) const { return row; }
  template <int N>
  __device__ void at(std::int64_t row, std::int64_t d) const {
    float gate[N], linear[N];
    cuda::load<N>(x + 2 * row * width + d, gate);
    cuda::load<N>(x + (2 * row + 1) * width + d, linear);
#pragma unroll
    for (int k = 0; k < N; ++k) linear[k] *= gate[k] * cuda::sigmoid<T>(gate[k]);
    cuda::store<N>(y + row * width + d, linear);
  }
};

template <class T>
struct SwigluSlopes {
  std::int64_t width;
  T const *dy, *x;
  T* dx;
  __device__ std::int64_t line(std::int64_t row) const { return row; }
  /// \param gate, linear  both halves of dx as they would be in float32
  template <int N>
  __device__ void compute(std::int64_t row, std::int64_t d, float (&gate)[N],
                          float (&linear)[N]) const {
    auto const at_gate = 2 * row * width + d, at_linear = at_gate + width;
    float g[N];
    cuda::load<N>(x + at_gate, gate);
    cuda::load<N>(x + at_linear, linear);
    cuda::load<N>(dy + row * width + d, g);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      float const z = gate[k], s = cuda::sigmoid<T>(z);
      gate[k] = g[k] * linear[k] * s * (1.0F + z * (1.0F - s));
      linear[k] = g[k] * z * s;
    }
    cuda::store<N>(dx + at_gate, gate);
    cuda::store<N>(dx + at_linear, linear);
  }
  template <int N>
  __device__ void at(std::int64_t row, std::int64_t d) const {
    float gate[N], linear[N];
    compute(row, d, gate, linear);
  }
  /// For the sums of columns, of dx as it is stored.
  template <int N>
  __device__ void at(std::int64_t row, std::int64_t d, float (&v)[2][N]) const {
    compute(row, d, v[0], v[1]);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      v[0][k] = cuda::rounded<T>(v[0][k]);
      v[1][k] = cuda::rounded<T>(v[1][k]);
    }
  }
};

}  // namespace

template <class T>
void execute(Cuda const& cuda, GeluForward<T> const& op) {
  cuda::for_values<cuda::pack_size<T>>(cuda, op.x.size(), cuda::aligned(op.x.data(), op.y.data()),
                                       GeluValues<T>{op.x.data(), op.y.data()});
}

template <class T>
void execute(Cuda const& cuda, GeluBackward<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const rows = op.x.extent(0), width = op.x.extent(1);
  GeluSlopes<T> const slopes{op.x.data(), op.dy.data(), op.dx.data(), width};
  if (op.dbias.empty() || rows == 0) {
    cuda::for_values<n>(cuda, op.x.size(), cuda::aligned(op.x.data(), op.dy.data(), op.dx.data()),
                        slopes);
  } else {
    cuda::column_sums<1, n, float>(
        cuda, rows, width, cuda::aligned_rows<n>(width, op.x.data(), op.dy.data(), op.dx.data()),
        slopes, cuda::AddToColumns<1>{{op.dbias.data()}});
  }
}

template <class T>
void execute(Cuda const& cuda, SwigluForward<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const width = op.y.extent(1);
  cuda::for_rows<n>(cuda, op.y.extent(0), width,
                    cuda::aligned_rows<n>(width, op.x.data(), op.y.data()),
                    SwigluRows<T>{width, op.x.data(), op.y.data()});
}

template <class T>
void execute(Cuda const& cuda, SwigluBackward<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const width = op.dy.extent(1);
  auto const rows = op.dy.extent(0);
  bool const packs = cuda::aligned_rows<n>(width, op.dy.data(), op.x.data(), op.dx.data());
  SwigluSlopes<T> const slopes{width, op.dy.data(), op.x.data(), op.dx.data()};
  if (op.dbias.empty() || rows == 0) {
    cuda::for_rows<n>(cuda, rows, width, packs, slopes);
  } else {
    auto* const sums = op.dbias.data();
    cuda::column_sums<2, n, float>(cuda, rows, width, packs, slopes,
                                   cuda::AddToColumns<2>{{sums, sums + width}});
  }
}

template void execute(Cuda const&, GeluForward<float> const&);
template void execute(Cuda const&, GeluForward<bfloat16> const&);
template void execute(Cuda const&, GeluBackward<float> const&);
template void execute(Cuda const&, GeluBackward<bfloat16> const&);
template void execute(Cuda const&, SwigluForward<float> const&);
template void execute(Cuda const&, SwigluForward<bfloat16> const&);
template void execute(Cuda const&, SwigluBackward<float> const&);
template void execute(Cuda const&, SwigluBackward<bfloat16> const&);

}  // namespace dino
