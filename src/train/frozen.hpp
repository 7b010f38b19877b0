// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <string>

#include "config/config.hpp"
#include "train/dino_model.hpp"

namespace dino::train {

/// A backbone read from a checkpoint, to compute features with. Every rank holds it whole.
template <class T>
struct FrozenBackbone {
  Config config;  ///< that it was trained with
  shard::ParameterStore<T> store;
  std::unique_ptr<Backbone<T>> backbone;

  /// \param model  "teacher" or "student". Collective. \throws Error (input)
  static std::unique_ptr<FrozenBackbone> load(Space const& space, Communicator const& world,
                                              std::string const& checkpoint,
                                              std::string const& model);

 private:
  FrozenBackbone(Space const& space, shard::ShardGroups const& groups, Config trained);
};

}  // namespace dino::train
