// SPDX-License-Identifier: Apache-2.0
#include "kernels/convolution.hpp"
#include "kernels/cuda/launch.cuh"

namespace dino {
namespace {

/// Writes follow each other in memory; reads of a few rows at a time do too.
template <class From, class To>
struct SwappedValues {
  std::int64_t a, b;
  From const* x;
  To* y;
  bool accumulate;
  template <int N>
  __device__ void at(std::int64_t to) const {
    static_assert(N == 1);
    auto const i = to % a, line = to / a;
    auto const j = line % b, n = line / b;
    float const v = cuda::to_float(x[(n * a + i) * b + j]);
    cuda::assign(y[to], accumulate ? cuda::to_float(y[to]) + v : v);
  }
};

}  // namespace

template <class From, class To>
void execute(Cuda const& cuda, SwapAxes<From, To> const& op) {
  cuda::for_values<1>(cuda, op.x.size(), false,
                      SwappedValues<From, To>{op.x.extent(1), op.x.extent(2), op.x.data(),
                                              op.y.data(), op.accumulate});
}

template void execute(Cuda const&, SwapAxes<float, float> const&);
template void execute(Cuda const&, SwapAxes<float, bfloat16> const&);
template void execute(Cuda const&, SwapAxes<bfloat16, bfloat16> const&);

}  // namespace dino
