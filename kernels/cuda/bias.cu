// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/bias.hpp"
#include "kernels/cuda/column_sums.cuh"

namespace dino::cuda {
namespace {

template <class T, class Out>
struct BiasRows {
  std::int64_t width;
  T const* bias;
  Out* y;
  __device__ std::int64_t line(std::int64_t row) const { return row; }
  template <int N>
  __device__ void at(std::int64_t row, std::int64_t d) const {
    float v[N], b[N];
    load<N>(y + row * width + d, v);
    load<N>(bias + d, b);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] += b[k];
    store<N>(y + row * width + d, v);
  }
};

template <class T>
struct GradientColumns {
  std::int64_t width;
  T const* dy;
  template <int N>
  __device__ void at(std::int64_t row, std::int64_t d, float (&v)[1][N]) const {
    load<N>(dy + row * width + d, v[0]);
  }
};

}  // namespace

template <class T, class Out>
void add_bias(Cuda const& cuda, View<T const, 1> bias, View<Out, 2> y) {
  constexpr int n = pack_size<T, Out>;
  auto const width = y.extent(1);
  for_rows<n>(cuda, y.extent(0), width, aligned_rows<n>(width, bias.data(), y.data()),
              BiasRows<T, Out>{width, bias.data(), y.data()});
}

template <class T>
void add_bias_gradient(Cuda const& cuda, View<T const, 2> dy, View<float, 1> dbias) {
  constexpr int n = pack_size<T>;
  auto const width = dy.extent(1);
  column_sums<1, n, float>(cuda, dy.extent(0), width, aligned_rows<n>(width, dy.data()),
                           GradientColumns<T>{width, dy.data()}, AddToColumns<1>{{dbias.data()}});
}

template void add_bias(Cuda const&, View<float const, 1>, View<float, 2>);
template void add_bias(Cuda const&, View<bfloat16 const, 1>, View<bfloat16, 2>);
template void add_bias(Cuda const&, View<bfloat16 const, 1>, View<float, 2>);
template void add_bias_gradient(Cuda const&, View<float const, 2>, View<float, 1>);
template void add_bias_gradient(Cuda const&, View<bfloat16 const, 2>, View<float, 1>);

}  // namespace dino::cuda
