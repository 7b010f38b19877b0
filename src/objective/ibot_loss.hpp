// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "kernels/space.hpp"

namespace dino {

/// What the iBOT term of one micro-batch is measured by.
struct IbotSettings {
  std::int64_t global_crops = 1;  ///< C, global crops of all ranks and micro-batches, masked or not
  double student_temperature = 0.1;
  double loss_weight = 1;  ///< w_ibot, in the gradient only
};

/// Cross-entropy between student and teacher on the masked patches, over the global batch under any
/// number of ranks and micro-batches:
///   L = (1/C) Σ_i ω_i CE(t_i, s_i),   ω_i = 1 / masked patches of the crop of i.
/// C counts the crops without a mask too. Source: iBOT, arXiv:2111.07832, eq. 2; method.md 3.6.
class IbotLoss {
 public:
  explicit IbotLoss(Space const& space);

  void begin_step();
  /// Adds the masked patches of one micro-batch and gives d(w_ibot L)/d(logits).
  /// \param student  [M, K] logits; M may be 0
  /// \param targets  [M, K], each row sums to 1
  /// \param weights  [M], ω (CollatedMasks::weights)
  /// \param dlogits  [M, K], overwritten; may alias student where T is float
  template <class T>
  void add(View<float const, 2> student, View<float const, 2> targets, View<float const, 1> weights,
           IbotSettings const& settings, View<T, 2> dlogits);

  /// This rank's share of L since `begin_step`.
  double local_loss() const;

 private:
  Space space_;
  Buffer memory_;
  View<double, 1> loss_;  ///< [1]
};

}  // namespace dino
