// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/reduce.cuh"

namespace dino::cuda {
namespace {

constexpr int threads = 1024;

__global__ void __launch_bounds__(threads)
    add_sum_kernel(double const* values, std::int64_t n, double weight, double* out) {
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += values[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *out += weight * sum;
}

}  // namespace

void add_sum(Cuda const& cuda, double const* values, std::int64_t n, double weight, double* out) {
  launch(cuda, {1, threads}, add_sum_kernel, values, n, weight, out);
}

}  // namespace dino::cuda
