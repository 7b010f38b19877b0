// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "comm/communicator.hpp"
#include "kernels/arena.hpp"
#include "objective/dino_loss.hpp"
#include "optim/adamw.hpp"
#include "train/dino_model.hpp"

namespace dino::train {

/// Crops of one micro-batch of this rank, crop-major, in the space's memory.
struct CropViews {
  std::int64_t images = 0;
  ImageView global;  ///< [2 images, 3, S, S]
  ImageView local;   ///< [L images, 3, s, s], or empty
  /// Factor of each residual branch of the student: [2 depth, crops * images]; empty: no drop path.
  View<float const, 2> drop_path;
};

/// Values of the schedules in one step. Source: method.md 6.4.
struct StepSettings {
  double lr = 0, weight_decay = 0, momentum = 0.996, teacher_temperature = 0.04,
         student_temperature = 0.1;
  bool freeze_last_layer = false;
  double clip_grad = 0;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
};

struct StepResult {
  double loss = 0;  ///< mean over pairs of crops and the global batch
  TeacherStatistics teacher;
  std::vector<double> gradient_norms;  ///< before clipping, in the order of AdamW::slots
  bool stop = false;                   ///< some rank wants to stop after this step
};

/// Which parts of the step took how long on this rank, in seconds.
struct StepTimes {
  double teacher = 0, student_forward = 0, loss = 0, backward = 0, communication = 0, optimizer = 0;
};

/// Student, teacher, loss and optimizer of DINO v1, and one step over the global batch in v1's
/// order: teacher, student, loss, backward, clipping, last-layer freeze, AdamW, EMA. Source:
/// method.md 6.5.
template <class T>
class DinoStep {
 public:
  DinoStep(Space const& space, Communicator const& world, shard::Strategy const& strategy,
           ModelShape const& shape, double center_momentum);

  /// First values of the student; the teacher starts as its copy.
  void initialize(std::uint64_t seed);

  void begin(std::int64_t global_batch);
  /// Teacher and student over one micro-batch; gradients are added to this step's.
  enum class Last { no, yes };
  void micro_batch(Arena& arena, CropViews const& crops, StepSettings const& settings, Last last);
  /// Sums over ranks, checks for NaN and Inf, then clips, updates and moves the teacher and the
  /// centre.
  /// \param stop  whether this rank wants to stop after this step
  /// \throws Error (numerical), alike on all ranks and before anything is updated, naming rank and
  /// term
  StepResult finish(StepSettings const& settings, std::int64_t step, bool stop = false);

  /// Normalised class tokens of the teacher, [n, D] on the arena.
  View<T, 2> teacher_features(Arena& arena, ImageView images);
  void poll();

  DinoModel<T>& student() { return student_; }
  DinoModel<T>& teacher() { return teacher_; }
  DinoLoss& loss() { return loss_; }
  optim::AdamW<T>& optimizer() { return optimizer_; }
  Communicator const& world() const { return world_; }
  StepTimes const& times() const { return times_; }
  /// Student logits of the last micro-batch, [V B, K], and the teacher's before centring are seen
  /// here.
  using LogitsObserver =
      std::function<void(View<float const, 2> student, View<float const, 2> teacher)>;
  void observe_logits(LogitsObserver observer) { observer_ = std::move(observer); }

 private:
  void check_finite(std::vector<double> const& local, StepResult const& result,
                    std::int64_t step) const;

  Space space_;
  Communicator world_;
  shard::ShardGroups groups_;
  DinoModel<T> student_, teacher_;
  DinoLoss loss_;
  optim::AdamW<T> optimizer_;
  std::int64_t global_batch_ = 0;
  StepTimes times_;
  LogitsObserver observer_;
};

/// Bytes of arena and floating-point operations of matrix products that one micro-batch needs: a
/// dry run.
struct StepCost {
  std::int64_t arena_bytes = 0;
  double matrix_flops = 0;
};
template <class T>
StepCost step_cost(ModelShape const& shape, config::Crops const& crops, std::int64_t images);

}  // namespace dino::train
