// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "comm/communicator.hpp"
#include "kernels/space.hpp"
#include "objective/target_statistics.hpp"

namespace dino {

/// The v1 DINO loss: cross-entropy between crops against centred, sharpened teacher targets, over
/// the global batch under any number of ranks and micro-batches. Source: DINO, arXiv:2104.14294,
/// eq. 3 and sec. 3.1; method.md 3.1.
class DinoLoss {
 public:
  /// \param prototypes  K
  DinoLoss(Space const& space, std::int64_t prototypes, double center_momentum);

  /// Targets softmax((z - c)/τ_t) of teacher logits [2 B, K], in place; adds the logits to the sum
  /// that moves the centre at the end of the step.
  View<float const, 2> targets(View<float, 2> teacher_logits, double teacher_temperature);

  /// Adds the share of these images in the mean over pairs of crops and images of the global batch
  /// to the step's loss, and gives its gradient.
  /// \param student  [V B, K] logits, crop-major; \param targets  [2 B, K]
  /// \param images   of these rows, B; \param global_batch  of all ranks and micro-batches
  /// \param dlogits  as student, overwritten; may alias it where T is float
  template <class T>
  void cross_entropy(View<float const, 2> student, View<float const, 2> targets,
                     std::int64_t images, std::int64_t global_batch, double student_temperature,
                     View<T, 2> dlogits);

  /// This rank's share of the loss since `begin_step`.
  double local_loss() const;
  void begin_step();
  /// Moves the centre: c ← m c + (1-m) mean of the teacher's logits over the global batch.
  TeacherStatistics finish_step(Communicator const& world, std::int64_t global_batch);

  std::int64_t prototypes() const { return prototypes_; }
  std::vector<float> center() const;
  void set_center(std::span<float const> center);

 private:
  Space space_;
  std::int64_t prototypes_;
  double center_momentum_;
  Buffer memory_;
  View<float, 1> center_, sums_, usage_;
  View<double, 1> loss_, entropy_;
};

}  // namespace dino
