// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "model/dino_head.hpp"
#include "model/vit.hpp"
#include "shard/store.hpp"

namespace dino::train {

/// Sizes of a student and its teacher.
struct ModelShape {
  VitShape backbone;
  DinoHeadShape head;
  std::string head_prefix = "head.";            ///< of the DINO head's names: "dino_head." in v2
  std::optional<DinoHeadShape> ibot_head = {};  ///< `ibot_head.`; unset: none, or the DINO head
};

/// Sizes that a configuration asks for. \throws Error (usage) for an unknown architecture
ModelShape model_shape(Config const& config);

/// How the student's rotary coordinates are moved in training; not at all without rotary positions.
RopeAugmentation rope_augmentation(Config const& config);

/// Parameter table of a model: the units of the backbone, of the DINO head, of the iBOT head.
std::vector<shard::UnitSpec> model_units(ModelShape const& shape);

/// A backbone and its heads over one store: the student, or the teacher.
template <class T>
struct DinoModel {
  shard::ParameterStore<T> store;
  Vit<T> backbone;
  DinoHead<T> head;
  std::optional<DinoHead<T>> ibot_head;

  DinoModel(Space const& space, shard::ShardGroups const& groups, shard::Strategy const& strategy,
            ModelShape const& shape, shard::Role role)
      : store(space, groups, strategy, model_units(shape), role),
        backbone(space, shape.backbone, store, 0),
        head(space, shape.head, store, static_cast<int>(shape.backbone.depth) + 2) {
    if (shape.ibot_head)
      ibot_head.emplace(space, *shape.ibot_head, store, static_cast<int>(shape.backbone.depth) + 4);
  }
  DinoModel(DinoModel const&) = delete;
  DinoModel& operator=(DinoModel const&) = delete;
};

}  // namespace dino::train
