// SPDX-License-Identifier: Apache-2.0
#include "train/frozen.hpp"

#include "train/checkpointing.hpp"

namespace dino::train {

template <class T>
FrozenBackbone<T>::FrozenBackbone(Space const& space, shard::ShardGroups const& groups,
                                  Config trained)
    : config(std::move(trained)),
      store(space, groups, {}, backbone_units(model_shape(config), "backbone."),
            shard::Role::teacher),
      backbone(make_backbone<T>(space, Communicator::self(), model_shape(config), store, 0)) {}

template <class T>
std::unique_ptr<FrozenBackbone<T>> FrozenBackbone<T>::load(Space const& space,
                                                           Communicator const& world,
                                                           std::string const& checkpoint,
                                                           std::string const& model) {
  if (auto const fault = io::find_checkpoint_fault(world, checkpoint)) {
    fail(ExitCode::input, "cannot use the checkpoint: {}", *fault);
  }
  std::string text;
  on_rank_zero(world, [&] { text = to_toml(checkpoint_config(checkpoint)); });
  auto config = parse_config(world.broadcast_text(text), checkpoint, {});
  std::unique_ptr<FrozenBackbone> frozen(
      new FrozenBackbone(space, shard::ShardGroups::make(world, 1), std::move(config)));
  load_model(frozen->store, checkpoint, model);
  return frozen;
}

template struct FrozenBackbone<float>;
template struct FrozenBackbone<bfloat16>;

}  // namespace dino::train
