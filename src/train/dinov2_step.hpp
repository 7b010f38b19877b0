// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "objective/dino_v2_loss.hpp"
#include "objective/ibot_loss.hpp"
#include "objective/koleo_loss.hpp"
#include "objective/sinkhorn_knopp.hpp"
#include "objective/softmax_centering.hpp"
#include "objective/target_statistics.hpp"
#include "train/frozen_teacher.hpp"
#include "train/gram_term.hpp"
#include "train/prototype_loss.hpp"
#include "train/row_exchange.hpp"
#include "train/training_step.hpp"

namespace dino::train {

/// How teacher logits become targets.
enum class Centering { centering, sinkhorn_knopp };

/// What is reported of the terms; the objective is the same.
enum class TermScale {
  share,  ///< of DINO's terms their shares of the objective, of KoLeo the sum over crops (DINOv2)
  mean,   ///< means over each term's own pairs or crops (DINOv3)
};

/// The objective of DINOv2, or of DINOv3. Source: method.md 3.2 to 3.9.
struct DinoV2Objective {
  double dino_weight = 1, ibot_weight = 1;  ///< 0: the term is left out
  double koleo_weight = 0.1;
  std::optional<std::int64_t> koleo_group;  ///< samples; unset: the global batch
  std::int64_t koleo_topk = 1;              ///< neighbours of each sample
  Centering dino_centering = Centering::centering, ibot_centering = Centering::centering;
  double center_momentum = 0.9;
  int sinkhorn_iterations = 3;
  CropPairs pairs = CropPairs::v2(8);
  TermScale scale = TermScale::share;
  std::optional<GramObjective> gram = {};  ///< unset: no Gram term
};

/// The step of DINOv2 and DINOv3: DINO on class tokens, iBOT on masked patches, KoLeo on class
/// features, in DINOv3 Gram on patch features, all over the global batch. Sinkhorn-Knopp's targets
/// need the teacher's rows of the whole step, so the teacher runs over all micro-batches first;
/// KoLeo's neighbours and Gram matrices of the whole batch need all features, so with several
/// micro-batches the student's backbone runs once more for them.
///
/// With a frozen teacher, its outputs become the targets, and the student's global crops are not
/// masked; `teacher` is an EMA that follows the student and nothing else. Source: method.md 3.10.
template <class T>
class DinoV2Step : public TrainingStep<T> {
 public:
  DinoV2Step(Space const& space, Communicator const& world, shard::Strategy const& strategy,
             ModelShape const& shape, optim::ParameterRules const& rules,
             DinoV2Objective const& objective, std::unique_ptr<FrozenTeacher<T>> frozen = nullptr);

  void accumulate(Arena& arena, StepBatchSource const& source,
                  StepSettings const& settings) override;

  std::vector<LossState> loss_state() const override;
  void set_loss_state(LossState const& state) override;
  shard::ParameterStore<T>* gram_teacher() override;
  FrozenTeacher<T>* frozen_teacher() override { return frozen_.get(); }
  /// Updates of the Gram teacher so far.
  std::int64_t gram_updates() const;

  /// What one micro-batch computed, for comparing with golden numbers: on class tokens, of global
  /// crops and then of local ones, and on masked patches.
  enum class Tokens { classes, patches };
  using Observer = std::function<void(Tokens, SeenTile const&)>;
  void observe(Observer observer) { observer_ = std::move(observer); }

 private:
  using Base = TrainingStep<T>;
  using Base::space_, Base::world_, Base::global_batch_, Base::timer_, Base::student_,
      Base::teacher_, Base::spread_, Base::groups_, Base::logits_limit_, Base::logits_bytes_;
  using typename Base::StoreLast;
  using typename Base::Term;

  /// A micro-batch on its way through the step.
  struct Work {
    StepBatch batch;
    bool of_student = true;             ///< false: the teacher alone passes over it
    std::int64_t masked = 0;            ///< M
    View<std::int32_t const, 1> rows;   ///< class tokens of global crops, then masked patches
    View<float const, 1> mask_weights;  ///< [M]
    View<std::uint8_t const, 2> masks;  ///< [2 b, N] that the student sees; empty: none
    /// The teacher's, before the prototypes: [2 b, bottleneck_dim], [M, bottleneck_dim].
    View<T, 2> teacher_classes, teacher_patches;
    View<float, 2> koleo_gradient;               ///< [2 b, D]
    GramPatches patches;                         ///< where there is a Gram term
    View<float, 2> gram_targets, gram_gradient;  ///< [n, D] in the order of the Gram loss
    CropViews const& views() const { return batch.views; }
    VitDraws draws() const { return {batch.views.drop_path, batch.views.rope}; }
    std::int64_t globals() const { return 2 * batch.views.images; }
    /// Those that are not masked, where there is a Gram term.
    std::span<std::int32_t const> other_patches() const {
      return std::span(patches.order).subspan(static_cast<std::size_t>(patches.masked));
    }
  };

  /// Losses on the heads' prototypes, with the memory of their logits.
  struct HeadLosses {
    PrototypeLoss<T> dino;                 ///< of class tokens, and of patches where they share it
    std::optional<PrototypeLoss<T>> ibot;  ///< of a separate head
    LogitMemory memory;
  };

  // What the targets are made with.
  Vit<T>& target_backbone() { return frozen_ ? frozen_->backbone() : teacher_.vit(); }
  DinoHead<T>& target_head() { return frozen_ ? frozen_->head() : teacher_.head; }
  DinoHead<T>& target_patch_head() {
    if (frozen_) return frozen_->patch_head();
    return shared_head() ? teacher_.head : *teacher_.ibot_head;
  }
  bool shared_head() const { return !student_.ibot_head.has_value(); }
  bool with_ibot() const { return objective_.ibot_weight != 0; }
  std::int64_t dim() const { return student_.backbone->dim(); }
  void prepare(Arena& arena, Work& work);
  void teacher_pass(Arena& arena, Work& work);
  void share_targets(Arena& arena, StepBatchSource const& source, std::vector<Work>& work);
  void exchange_rows(Arena& arena, std::vector<Work> const& passes, std::vector<Work>& work,
                     Tokens tokens);
  HeadLosses head_losses(Arena& arena, std::vector<Work> const& work, StepSettings const& settings);
  TokenLoss<T> class_tokens(Arena& arena, StepSettings const& settings);
  TokenLoss<T> patch_tokens(Arena& arena, std::vector<Work> const& work,
                            StepSettings const& settings);
  void set_targets(TokenLoss<T>& tokens, Arena& arena, Centering how, SinkhornKnopp& sinkhorn,
                   SoftmaxCentering& centering, double temperature);
  bool with_gram() const { return gram_ && gram_->active(); }
  bool gram_of_batch() const { return with_gram() && gram_->level() == GramLevel::batch; }
  bool needs_all_features(std::vector<Work> const& work) const;
  void run_ahead(Arena& arena, std::vector<Work>& work, StepSettings const& settings);
  View<T, 2> features_ahead(Arena& arena, Work& work);
  void koleo_ahead(Arena& arena, std::vector<Work>& work,
                   std::vector<View<float, 2>> const& class_features);
  void gram_ahead(Arena& arena, std::vector<Work>& work, View<float const, 2> student,
                  View<float const, 2> targets, double weight);
  void koleo(Arena& arena, View<float const, 2> features, std::int64_t images, std::int64_t first,
             View<float, 2> gradient);
  void add_koleo(Arena& arena, Work& work, View<T, 2> features, View<T, 2> dfeatures);
  void put_gram_targets(Arena& arena, Work const& work, View<float, 2> out);
  void add_gram(Arena& arena, Work& work, View<T const, 2> features, View<T, 2> dfeatures,
                double weight);
  void student_pass(Arena& arena, Work& work, HeadLosses& losses, std::size_t micro_batch,
                    StoreLast last);
  void head_pass(Arena& arena, DinoHead<T>& head, PrototypeLoss<T>& loss, LogitMemory& memory,
                 std::size_t micro_batch, View<T const, 2> features, View<T, 2> dfeatures,
                 StoreLast last);
  View<std::int32_t const, 1> student_rows(Arena& arena, Work const& work,
                                           TokenLayout const& layout);
  std::vector<ImageView> student_images(Work const& work) const;
  DinoV2Settings dino_settings(std::int64_t images, StepSettings const& settings) const;
  View<float const, 2> as_float(Arena& arena, View<T const, 2> rows) const;
  void add_float(Arena& arena, View<float const, 2> x, View<T, 2> y) const;

  std::vector<Term> local_terms() const override;
  void begin_losses() override;
  TeacherStatistics finish_losses() override;
  void after_teacher_update(StepSettings const& settings) override;

  DinoV2Objective objective_;
  DinoV2Loss dino_loss_;
  IbotLoss ibot_loss_;
  KoleoLoss koleo_loss_;
  SinkhornKnopp dino_sinkhorn_, ibot_sinkhorn_;
  SoftmaxCentering dino_center_, ibot_center_;
  TargetStatistics statistics_;
  std::unique_ptr<FrozenTeacher<T>> frozen_;
  std::optional<RowExchange> exchange_;  ///< where students share its passes
  std::optional<GramTerm<T>> gram_;
  double dino_local_weight_ = 1, gram_weight_ = 0;  ///< of this step
  Observer observer_;
};

}  // namespace dino::train
