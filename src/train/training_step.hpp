// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "data/masking.hpp"
#include "kernels/arena.hpp"
#include "objective/feature_spread.hpp"
#include "objective/target_statistics.hpp"
#include "optim/adamw.hpp"
#include "train/dino_model.hpp"
#include "train/part_timer.hpp"

namespace dino {
struct CropBatch;
}

namespace dino::train {

template <class T>
class FrozenTeacher;

/// Crops of one micro-batch of this rank, crop-major, in the space's memory.
struct CropViews {
  std::int64_t images = 0;
  std::int64_t first = 0;  ///< image 0's place in the global batch
  bool mixed_in = false;   ///< of the second data set
  ImageView global;        ///< [2 images, 3, S, S]
  ImageView local;         ///< [L images, 3, s, s], or empty
  ImageView gram = {};     ///< [2 images, 3, g, g], what the Gram teacher sees; empty: global
  /// Factor of each residual branch of the student, on the host: [2 depth, crops * images]; empty:
  /// no drop path.
  View<float const, 2> drop_path;
  /// Draws of the student's rotary coordinates, on the host: [depth, 2]; empty: none.
  View<RopeDraw const, 2> rope = {};
  /// Masks of the student's global crops, and what the iBOT loss needs of them; null: none.
  CollatedMasks const* masks = nullptr;
};

/// A micro-batch, and what owns the memory of its views.
struct StepBatch {
  CropViews views;
  std::shared_ptr<void const> keeper;
  CropBatch const* decoded = nullptr;  ///< whose pictures are yet to become the crops of the views
};

/// Where the micro-batches of a step come from, one after the other.
struct StepBatchSource {
  std::int64_t micro_batches = 1;  ///< the same number on all ranks
  std::function<StepBatch()> next;
  /// Of a frozen teacher whose passes several students share: global crops and masks of this rank's
  /// share of the global batch over all ranks.
  std::int64_t teacher_micro_batches = 0;
  std::function<StepBatch()> next_of_teacher = {};
};

/// Values of the schedules in one step. Source: method.md 6.4.
struct StepSettings {
  double lr = 0, weight_decay = 0, momentum = 0.996, teacher_temperature = 0.04,
         student_temperature = 0.1;
  bool freeze_last_layer = false;
  double clip_grad = 0;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  std::optional<double> last_layer_lr = {};  ///< unset: lr
  bool heads_only = false;                   ///< backbone and teacher stay as they are
  double dino_local_weight = 1;              ///< α of method.md 3.3 (v3)
  double gram_weight = 0;                    ///< β of method.md 3.8 (v3)
  std::int64_t iteration = 0;                ///< of the schedules, from 0
};

struct StepResult {
  double loss = 0;                        ///< the objective, over the global batch
  std::map<std::string, double> terms;    ///< of the objective, where there are several
  TeacherStatistics teacher;              ///< of the class tokens' targets
  double feature_spread = 0;              ///< of the student's global crops, see FeatureSpread
  std::vector<double> gradient_norms;     ///< before clipping, in the order of AdamW::slots
  bool stop = false;                      ///< some rank wants to stop after this step
  std::optional<std::string> fault = {};  ///< a loss or gradient is not finite: nothing was updated
};

/// A vector of the loss that belongs to the state of a run, such as a centre.
struct LossState {
  std::string name;  ///< e.g. "center"
  std::vector<float> values;
};

/// Student, teacher and optimizer, and one step over the global batch: gradients of all
/// micro-batches, then the check for NaN and Inf, clipping, AdamW, EMA. The objectives derive from
/// it. Source: method.md 6.5.
template <class T>
class TrainingStep {
 public:
  using StoreLast = typename shard::ParameterStore<T>::Last;

  TrainingStep(Space const& space, Communicator const& world, shard::Strategy const& strategy,
               ModelShape const& shape, optim::ParameterRules const& rules);
  TrainingStep(TrainingStep const&) = delete;
  TrainingStep& operator=(TrainingStep const&) = delete;
  virtual ~TrainingStep() = default;

  /// First values of the student; the teacher starts as its copy.
  void initialize(std::uint64_t seed);

  void begin(std::int64_t global_batch);
  /// Teacher and student over all micro-batches of this rank; adds their gradients.
  virtual void accumulate(Arena& arena, StepBatchSource const& source,
                          StepSettings const& settings) = 0;
  /// Sums over ranks, then clips, updates, and moves the teacher and the loss's state; or nothing
  /// of that, with the rank and the term in `fault`, where something is not finite. Alike on all
  /// ranks.
  /// \param stop  whether this rank wants to stop after this step
  StepResult finish(StepSettings const& settings, std::int64_t step, bool stop = false);

  /// Memory that logits over the prototypes may take; larger ones are computed in tiles. Call
  /// before the first step.
  void limit_logits(std::int64_t bytes) { logits_limit_ = bytes; }
  /// What they took in the step or micro-batch that took most.
  std::int64_t logits_bytes() const { return logits_bytes_; }

  /// Features of the teacher as in evaluation, [n, D] on the arena.
  View<T, 2> teacher_features(Arena& arena, ImageView images);
  void poll();

  /// What of the loss belongs into a checkpoint.
  virtual std::vector<LossState> loss_state() const = 0;
  virtual void set_loss_state(LossState const& state) = 0;

  /// The backbone of a Gram teacher of its own; null: there is none.
  virtual shard::ParameterStore<T>* gram_teacher() { return nullptr; }
  /// The model that makes the targets in place of `teacher`; null: `teacher` does.
  virtual FrozenTeacher<T>* frozen_teacher() { return nullptr; }

  DinoModel<T>& student() { return student_; }
  DinoModel<T>& teacher() { return teacher_; }  ///< EMA of the student
  optim::AdamW<T>& optimizer() { return optimizer_; }
  Communicator const& world() const { return world_; }
  /// Which parts of its steps take how long: nobody knows before it is asked to measure them.
  PartTimer& timer() { return timer_; }

 protected:
  /// This rank's share of a term, and what the term counts for in the objective.
  struct Term {
    std::string name;
    double value = 0, weight = 1;
  };
  virtual std::vector<Term> local_terms() const = 0;
  virtual void begin_losses() = 0;
  StepBatch take(std::function<StepBatch()> const& next) {
    Stopwatch const watch(timer_, Part::data);
    return next();
  }
  /// After the EMA of the teacher; not where the backbone stays as it is.
  virtual void after_teacher_update(StepSettings const&) {}
  /// After the update: centres and statistics.
  virtual TeacherStatistics finish_losses() = 0;

  Space space_;
  Communicator world_;
  std::int64_t global_batch_ = 0;
  PartTimer timer_;
  FeatureSpread spread_;
  std::int64_t logits_limit_ = std::int64_t{64} << 20, logits_bytes_ = 0;

 private:
  std::optional<std::string> find_fault(std::span<double const> flags,
                                        std::vector<Term> const& terms,
                                        std::vector<double> const& norms) const;
  void update(StepSettings const& settings, std::vector<double> const& norms);

 protected:
  shard::ShardGroups groups_;
  DinoModel<T> student_, teacher_;

 private:
  optim::AdamW<T> optimizer_;
};

}  // namespace dino::train
