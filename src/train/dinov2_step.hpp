// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <optional>
#include <vector>

#include "objective/dino_v2_loss.hpp"
#include "objective/ibot_loss.hpp"
#include "objective/koleo_loss.hpp"
#include "objective/sinkhorn_knopp.hpp"
#include "objective/softmax_centering.hpp"
#include "objective/target_statistics.hpp"
#include "train/prototype_loss.hpp"
#include "train/training_step.hpp"

namespace dino::train {

/// How teacher logits become targets.
enum class Centering { centering, sinkhorn_knopp };

/// The objective of DINOv2. Source: method.md 3.2 to 3.9.
struct DinoV2Objective {
  double dino_weight = 1, ibot_weight = 1;  ///< 0: the term is left out
  double koleo_weight = 0.1;
  std::optional<std::int64_t> koleo_group;  ///< samples; unset: the global batch
  Centering dino_centering = Centering::centering, ibot_centering = Centering::centering;
  double center_momentum = 0.9;
  int sinkhorn_iterations = 3;
  std::int64_t local_crops = 8;
};

/// The step of DINOv2: DINO on class tokens, iBOT on masked patches, KoLeo on class features, all
/// over the global batch. Sinkhorn-Knopp's targets need the teacher's rows of the whole step, so
/// the teacher runs over all micro-batches first; KoLeo's neighbours need all features, so with
/// several micro-batches the student's backbone runs once more for them.
template <class T>
class DinoV2Step : public TrainingStep<T> {
 public:
  DinoV2Step(Space const& space, Communicator const& world, shard::Strategy const& strategy,
             ModelShape const& shape, optim::ParameterRules const& rules,
             DinoV2Objective const& objective);

  void accumulate(Arena& arena, StepBatchSource const& source,
                  StepSettings const& settings) override;

  std::vector<LossState> loss_state() const override;
  void set_loss_state(LossState const& state) override;

  /// What one micro-batch computed, for comparing with golden numbers: on class tokens, of global
  /// crops and then of local ones, and on masked patches.
  enum class Tokens { classes, patches };
  using Observer = std::function<void(Tokens, SeenTile const&)>;
  void observe(Observer observer) { observer_ = std::move(observer); }

 private:
  using Base = TrainingStep<T>;
  using Base::space_, Base::world_, Base::global_batch_, Base::times_, Base::student_,
      Base::teacher_, Base::spread_, Base::logits_limit_, Base::logits_bytes_;
  using typename Base::StoreLast;
  using typename Base::Term;

  /// A micro-batch on its way through the step.
  struct Work {
    StepBatch batch;
    std::int64_t masked = 0;            ///< M
    View<std::int32_t const, 1> rows;   ///< class tokens of global crops, then masked patches
    View<float const, 1> mask_weights;  ///< [M]
    View<std::uint8_t const, 2> masks;  ///< [2 b, N]
    /// The teacher's, before the prototypes: [2 b, bottleneck_dim], [M, bottleneck_dim].
    View<T, 2> teacher_classes, teacher_patches;
    View<float, 2> koleo_gradient;  ///< [2 b, D]
    CropViews const& views() const { return batch.views; }
    std::int64_t globals() const { return 2 * batch.views.images; }
  };

  /// Losses on the heads' prototypes, with the memory of their logits.
  struct HeadLosses {
    PrototypeLoss<T> dino;                 ///< of class tokens, and of patches where they share it
    std::optional<PrototypeLoss<T>> ibot;  ///< of a separate head
    LogitMemory memory;
  };

  bool shared_head() const { return !student_.ibot_head.has_value(); }
  bool with_ibot() const { return objective_.ibot_weight != 0; }
  void prepare(Arena& arena, Work& work);
  void teacher_pass(Arena& arena, Work& work);
  HeadLosses head_losses(Arena& arena, std::vector<Work> const& work, StepSettings const& settings);
  TokenLoss<T> class_tokens(Arena& arena, StepSettings const& settings);
  TokenLoss<T> patch_tokens(Arena& arena, std::vector<Work> const& work,
                            StepSettings const& settings);
  void set_targets(TokenLoss<T>& tokens, Arena& arena, Centering how, SinkhornKnopp& sinkhorn,
                   SoftmaxCentering& centering, double temperature);
  void koleo_ahead(Arena& arena, std::vector<Work>& work);
  void koleo(Arena& arena, View<float const, 2> features, std::int64_t images, std::int64_t first,
             View<float, 2> gradient);
  void student_pass(Arena& arena, Work& work, HeadLosses& losses, std::size_t micro_batch,
                    bool koleo_done, StoreLast last);
  void head_pass(Arena& arena, DinoHead<T>& head, PrototypeLoss<T>& loss, LogitMemory& memory,
                 std::size_t micro_batch, View<T const, 2> features, View<T, 2> dfeatures,
                 StoreLast last);
  void add_koleo(Arena& arena, Work& work, bool koleo_done, View<T const, 2> features,
                  View<T, 2> dfeatures);
  View<std::int32_t const, 1> student_rows(Arena& arena, Work const& work,
                                           TokenLayout const& layout);
  std::vector<ImageView> student_images(Work const& work) const;
  DinoV2Settings dino_settings(std::int64_t images, StepSettings const& settings) const;
  View<float const, 2> as_float(Arena& arena, View<T const, 2> rows) const;
  void add_float(Arena& arena, View<float const, 2> x, View<T, 2> y) const;

  std::vector<Term> local_terms() const override;
  void begin_losses() override;
  TeacherStatistics finish_losses() override;

  DinoV2Objective objective_;
  DinoV2Loss dino_loss_;
  IbotLoss ibot_loss_;
  KoleoLoss koleo_loss_;
  SinkhornKnopp dino_sinkhorn_, ibot_sinkhorn_;
  SoftmaxCentering dino_center_, ibot_center_;
  TargetStatistics statistics_;
  Observer observer_;
};

}  // namespace dino::train
