// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <utility>
#include <vector>

#include "objective/dino_loss.hpp"
#include "train/training_step.hpp"

namespace dino::train {

/// The step of DINO v1, in v1's order: teacher, student, loss, backward, clipping of each
/// parameter, last-layer freeze, AdamW, EMA, centre. Source: method.md 3.1, 6.5.
template <class T>
class DinoStep : public TrainingStep<T> {
 public:
  DinoStep(Space const& space, Communicator const& world, shard::Strategy const& strategy,
           ModelShape const& shape, double center_momentum);

  void accumulate(Arena& arena, StepBatchSource const& source,
                  StepSettings const& settings) override;
  /// Teacher and student over one micro-batch; gradients are added to this step's.
  enum class Last { no, yes };
  void micro_batch(Arena& arena, CropViews const& crops, StepSettings const& settings, Last last);

  std::vector<LossState> loss_state() const override;
  void set_loss_state(LossState const& state) override;

  DinoLoss& loss() { return loss_; }
  /// Student logits of the last micro-batch, [V B, K], and the teacher's before centring are seen
  /// here.
  using LogitsObserver =
      std::function<void(View<float const, 2> student, View<float const, 2> teacher)>;
  void observe_logits(LogitsObserver observer) { observer_ = std::move(observer); }

 private:
  using Base = TrainingStep<T>;
  using Base::space_, Base::world_, Base::global_batch_, Base::times_, Base::student_,
      Base::teacher_, Base::spread_;
  using typename Base::Term;
  std::vector<Term> local_terms() const override;
  void begin_losses() override { loss_.begin_step(); }
  TeacherStatistics finish_losses() override { return loss_.finish_step(world_, global_batch_); }

  DinoLoss loss_;
  LogitsObserver observer_;
};

}  // namespace dino::train
