// SPDX-License-Identifier: Apache-2.0
#include "kernels/gram.hpp"

#include <algorithm>

#include "kernels/host/parallel.hpp"
#include "kernels/host/row_math.hpp"

namespace dino {

void execute(Host const&, GramDifference const& op) {
  bool const clip_student = op.negatives == GramNegatives::removed;
  bool const clip_teacher = op.negatives != GramNegatives::kept;
  auto const factor = static_cast<float>(op.gradient_factor * 2 * op.weight);
  auto* const student = op.student.data();
  auto const* const teacher = op.teacher.data();
  auto const difference = [=](std::int64_t i) {
    float const s = clip_student ? std::max(student[i], 0.0F) : student[i];
    return s - (clip_teacher ? std::max(teacher[i], 0.0F) : teacher[i]);
  };
  op.loss[0] +=
      op.weight * host::parallel_sum(op.student.size(), [=](std::int64_t begin, std::int64_t end) {
        double const squares = host::long_row_sum(end - begin, [=](std::int64_t i) {
          float const d = difference(begin + i);
          return d * d;
        });
#pragma omp simd
        for (std::int64_t i = begin; i < end; ++i) {
          bool const removed = clip_student && student[i] < 0;
          student[i] = removed ? 0.0F : factor * difference(i);
        }
        return squares;
      });
}

}  // namespace dino
