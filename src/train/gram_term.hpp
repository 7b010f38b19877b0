// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <optional>
#include <vector>

#include "data/masking.hpp"
#include "objective/gram_loss.hpp"
#include "objective/patch_resize.hpp"
#include "train/gram_teacher.hpp"

namespace dino::train {

enum class GramLevel { image, batch };
enum class GramTokens { all, masked, unmasked };

/// The Gram term of DINOv3's objective. Source: method.md 3.8.
struct GramObjective {
  bool ema_teacher = false;  ///< the teacher itself is the Gram teacher; else it has its own
  GramLifeCycle life_cycle;  ///< of its own
  GramSettings loss;
  GramLevel level = GramLevel::image;
  GramTokens tokens = GramTokens::all;  ///< all, at image level
  ResampleKernel resize;                ///< from the Gram teacher's grid to the student's
};

/// The patches of a micro-batch's global crops in the order in which a step computes with them:
/// masked ones first, which iBOT needs, then the others.
struct GramPatches {
  PatchGrid grid;
  std::int64_t crops = 0, masked = 0;
  std::vector<std::int32_t> order;    ///< of all patches, crop by crop
  View<std::int32_t const, 1> rows;   ///< `order` in the space's memory
  View<std::int32_t const, 1> place;  ///< its inverse
};

/// The Gram loss in a training step: the Gram teacher and its features, the patches that are
/// compared, and the way from the step's order of patches to the loss's and back.
template <class T>
class GramTerm {
 public:
  GramTerm(Space const& space, shard::ShardGroups const& groups, shard::Strategy const& strategy,
           VitShape const& shape, GramObjective const& objective);

  void begin_step() { loss_.begin_step(); }
  /// Whether there is something to hold the student to.
  bool active() const { return !teacher_ || teacher_->ready(); }
  bool ema_teacher() const { return objective_.ema_teacher; }
  GramLevel level() const { return objective_.level; }
  /// Of its own; null: there is none.
  GramTeacher<T>* teacher() { return teacher_ ? &*teacher_ : nullptr; }
  GramTeacher<T> const* teacher() const { return teacher_ ? &*teacher_ : nullptr; }
  double local_loss() const { return loss_.local_loss(); }

  /// \param masks  of the student's global crops; null: none
  GramPatches patches(Arena& arena, PatchGrid grid, std::int64_t crops,
                      CollatedMasks const* masks) const;
  /// Features [n, D] that the loss compares, n of them.
  std::int64_t count(GramPatches const& patches) const { return share(patches).size(); }

  /// Normalised features [all patches, D] in the step's order, to [n, D] in the loss's.
  void take(Arena& arena, GramPatches const& patches, View<T const, 2> features,
            View<float, 2> out) const;
  /// The same of the Gram teacher of its own, over its crops.
  void teacher_features(Arena& arena, GramPatches const& patches, ImageView crops,
                        View<float, 2> out);
  /// Adds the crops of a micro-batch (image level) or the patches of all micro-batches of this rank
  /// (batch level, collective). \param gradient  [n, D] in the loss's order, overwritten
  void add(Arena& arena, Communicator const& world, View<float const, 2> student,
           View<float const, 2> teacher, std::int64_t patches_of_a_crop, std::int64_t global_crops,
           double weight, View<float, 2> gradient);
  /// Adds a gradient [n, D] to that of the features, [all patches, D] in the step's order.
  void give_back(Arena& arena, GramPatches const& patches, View<float const, 2> gradient,
                 View<T, 2> dfeatures) const;

 private:
  Share share(GramPatches const& patches) const;

  Space space_;
  GramObjective objective_;
  GramLoss loss_;
  PatchResize resize_;
  std::optional<GramTeacher<T>> teacher_;
};

}  // namespace dino::train
