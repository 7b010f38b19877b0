// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <utility>
#include <vector>

#include "objective/dino_loss.hpp"
#include "train/prototype_loss.hpp"
#include "train/training_step.hpp"

namespace dino::train {

/// The step of DINO v1, in v1's order: teacher, student, loss, backward, clipping of each
/// parameter, last-layer freeze, AdamW, EMA, centre. Source: method.md 3.1, 6.5.
template <class T>
class DinoStep : public TrainingStep<T> {
 public:
  DinoStep(Space const& space, Communicator const& world, shard::Strategy const& strategy,
           ModelShape const& shape, double center_momentum,
           optim::ParameterRules const& rules = {});

  void accumulate(Arena& arena, StepBatchSource const& source,
                  StepSettings const& settings) override;
  /// Teacher and student over one micro-batch; gradients are added to this step's.
  enum class Last { no, yes };
  void micro_batch(Arena& arena, CropViews const& crops, StepSettings const& settings, Last last);

  std::vector<LossState> loss_state() const override;
  void set_loss_state(LossState const& state) override;

  DinoLoss& loss() { return loss_; }
  /// Logits of each micro-batch, of the student [V B, K] and of the teacher, are seen here.
  using Observer = std::function<void(SeenTile const&)>;
  void observe(Observer observer) { observer_ = std::move(observer); }

 private:
  using Base = TrainingStep<T>;
  using Base::space_, Base::world_, Base::global_batch_, Base::timer_, Base::student_,
      Base::teacher_, Base::spread_, Base::logits_limit_, Base::logits_bytes_;
  using typename Base::Term;
  std::vector<Term> local_terms() const override;
  void begin_losses() override { loss_.begin_step(); }
  TeacherStatistics finish_losses() override { return loss_.finish_step(world_, global_batch_); }

  PrototypeLoss<T> class_loss(CropViews const& crops, StepSettings const& settings);
  View<T const, 2> teacher_rows(Arena& arena, CropViews const& crops);

  bool whole_batch_;  ///< no accumulation over micro-batches
  DinoLoss loss_;
  Observer observer_;
};

}  // namespace dino::train
