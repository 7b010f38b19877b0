// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "model/dino_head.hpp"
#include "model/resnet.hpp"
#include "model/vit.hpp"
#include "shard/store.hpp"

namespace dino::train {

/// Sizes of a student and its teacher.
struct ModelShape {
  VitShape backbone;
  DinoHeadShape head;
  std::string head_prefix = "head.";            ///< of the DINO head's names: "dino_head." in v2
  std::optional<DinoHeadShape> ibot_head = {};  ///< `ibot_head.`; unset: none, or the DINO head
  std::optional<ResNetShape> resnet = {};       ///< the backbone; unset: the ViT of `backbone`

  /// Width of the features.
  std::int64_t dim() const { return resnet ? resnet->dim() : backbone.embed_dim; }
  /// Whether the features of an image depend on the other images of the batch.
  bool has_batch_norm() const { return resnet || head.has_batch_norm(); }
};

/// Sizes that a configuration asks for. \throws Error (usage) for an unknown architecture
ModelShape model_shape(Config const& config);

/// How the student's rotary coordinates are moved in training; not at all without rotary positions.
RopeAugmentation rope_augmentation(Config const& config);

/// Parameter table of a backbone.
std::vector<shard::UnitSpec> backbone_units(ModelShape const& shape, std::string const& prefix);
/// A backbone whose units begin with `first_unit` of a store.
/// \param world  the ranks that batch norms take the statistics of
template <class T>
std::unique_ptr<Backbone<T>> make_backbone(Space const& space, Communicator const& world,
                                           ModelShape const& shape, shard::ParameterStore<T>& store,
                                           int first_unit);
/// The backbone as a ViT, for what needs its patches. \throws Error (usage) for a convnet
template <class T>
Vit<T>& as_vit(Backbone<T>& backbone);

/// Parameter table of a model: the units of the backbone, of the DINO head, of the iBOT head.
std::vector<shard::UnitSpec> model_units(ModelShape const& shape);

/// A backbone and its heads over one store: the student, or the teacher.
template <class T>
struct DinoModel {
  shard::ParameterStore<T> store;
  std::unique_ptr<Backbone<T>> backbone;
  DinoHead<T> head;
  std::optional<DinoHead<T>> ibot_head;

  /// \param world  all ranks of the run
  DinoModel(Space const& space, Communicator const& world, shard::ShardGroups const& groups,
            shard::Strategy const& strategy, ModelShape const& shape, shard::Role role);
  DinoModel(DinoModel const&) = delete;
  DinoModel& operator=(DinoModel const&) = delete;

  Vit<T>& vit() { return as_vit(*backbone); }
  /// Of the batch norms, see Backbone.
  void begin_step();
  /// \param heads_only  the backbone stays as it is
  void finish_step(bool heads_only);
};

}  // namespace dino::train
