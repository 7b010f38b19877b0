// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/reduce.cuh"
#include "kernels/gram.hpp"

namespace dino {
namespace {

struct GramValues {
  float* student;
  float const* teacher;
  bool clip_student, clip_teacher;
  float factor;
  /// Squared differences; their gradient takes the place of the student's similarities.
  template <int N>
  __device__ double at(std::int64_t i) const {
    float s[N], t[N];
    cuda::load<N>(student + i, s);
    cuda::load<N>(teacher + i, t);
    double sum = 0;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      bool const removed = clip_student && s[k] < 0;
      float const d = (removed ? 0.0F : s[k]) - (clip_teacher && t[k] < 0 ? 0.0F : t[k]);
      sum += static_cast<double>(d * d);
      s[k] = removed ? 0.0F : factor * d;
    }
    cuda::store<N>(student + i, s);
    return sum;
  }
};

}  // namespace

void execute(Cuda const& cuda, GramDifference const& op) {
  GramValues const values{
      op.student.data(), op.teacher.data(), op.negatives == GramNegatives::removed,
      op.negatives != GramNegatives::kept, static_cast<float>(op.gradient_factor * 2 * op.weight)};
  cuda::sum_values<cuda::pack_size<float>>(cuda, op.student.size(),
                                           cuda::aligned(op.student.data(), op.teacher.data()),
                                           values, op.weight, op.loss.data());
}

}  // namespace dino
