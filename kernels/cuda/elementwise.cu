// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/reduce.cuh"
#include "kernels/elementwise.hpp"

namespace dino {
namespace {

template <class T>
struct FillValues {
  T* y;
  float value;
  template <int N>
  __device__ void at(std::int64_t i) const {
    float v[N];
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] = value;
    cuda::store<N>(y + i, v);
  }
};

template <class From, class To>
struct CastValues {
  From const* x;
  To* y;
  template <int N>
  __device__ void at(std::int64_t i) const {
    float v[N];
    cuda::load<N>(x + i, v);
    cuda::store<N>(y + i, v);
  }
};

template <class T>
struct AxpyValues {
  float a;
  T const* x;
  T* y;
  template <int N>
  __device__ void at(std::int64_t i) const {
    float v[N], w[N];
    cuda::load<N>(x + i, v);
    cuda::load<N>(y + i, w);
#pragma unroll
    for (int k = 0; k < N; ++k) w[k] += a * v[k];
    cuda::store<N>(y + i, w);
  }
};

struct ScaleValues {
  float* x;
  float factor;
  template <int N>
  __device__ void at(std::int64_t i) const {
    float v[N];
    cuda::load<N>(x + i, v);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] *= factor;
    cuda::store<N>(x + i, v);
  }
};

struct SquareValues {
  float const* x;
  template <int N>
  __device__ double at(std::int64_t i) const {
    float v[N];
    cuda::load<N>(x + i, v);
    double sum = 0;
#pragma unroll
    for (int k = 0; k < N; ++k) sum += static_cast<double>(v[k]) * static_cast<double>(v[k]);
    return sum;
  }
};

}  // namespace

template <class T>
void execute(Cuda const& cuda, Fill<T> const& op) {
  cuda::for_values<cuda::pack_size<T>>(cuda, op.y.size(), cuda::aligned(op.y.data()),
                                       FillValues<T>{op.y.data(), op.value});
}

template <class From, class To>
void execute(Cuda const& cuda, Cast<From, To> const& op) {
  if (static_cast<void const*>(op.x.data()) == op.y.data()) return;
  cuda::for_values<cuda::pack_size<From, To>>(cuda, op.x.size(),
                                              cuda::aligned(op.x.data(), op.y.data()),
                                              CastValues<From, To>{op.x.data(), op.y.data()});
}

template <class T>
void execute(Cuda const& cuda, Axpy<T> const& op) {
  cuda::for_values<cuda::pack_size<T>>(cuda, op.x.size(), cuda::aligned(op.x.data(), op.y.data()),
                                       AxpyValues<T>{op.a, op.x.data(), op.y.data()});
}

void execute(Cuda const& cuda, SumOfSquares const& op) {
  cuda::sum_values<cuda::pack_size<float>>(cuda, op.x.size(), cuda::aligned(op.x.data()),
                                           SquareValues{op.x.data()}, 1, op.sum.data());
}

void execute(Cuda const& cuda, Scale const& op) {
  cuda::for_values<cuda::pack_size<float>>(cuda, op.x.size(), cuda::aligned(op.x.data()),
                                           ScaleValues{op.x.data(), op.factor});
}

template void execute(Cuda const&, Fill<float> const&);
template void execute(Cuda const&, Fill<bfloat16> const&);
template void execute(Cuda const&, Fill<double> const&);
template void execute(Cuda const&, Cast<float, float> const&);
template void execute(Cuda const&, Cast<float, bfloat16> const&);
template void execute(Cuda const&, Cast<bfloat16, float> const&);
template void execute(Cuda const&, Cast<bfloat16, bfloat16> const&);
template void execute(Cuda const&, Axpy<float> const&);
template void execute(Cuda const&, Axpy<bfloat16> const&);

}  // namespace dino
