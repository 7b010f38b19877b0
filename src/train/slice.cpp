// SPDX-License-Identifier: Apache-2.0
#include "train/slice.hpp"

#include <algorithm>

namespace dino::train {
namespace {

/// Most images of one global batch that a rank has.
std::int64_t largest_share(int ranks, std::int64_t batch_size) {
  return (batch_size + ranks - 1) / ranks;
}

}  // namespace

std::int64_t micro_batches(int ranks, std::int64_t batch_size, std::optional<std::int64_t> micro) {
  auto const largest = largest_share(ranks, batch_size);
  auto const most = std::clamp<std::int64_t>(micro.value_or(largest), 1, largest);
  return (largest + most - 1) / most;
}

BatchSlice rank_slice(Communicator const& world, std::int64_t batch_size,
                      std::optional<std::int64_t> micro) {
  auto const share = share_of(batch_size, world.rank(), world.size());
  return {.begin = share.begin,
          .end = share.end,
          .micro_batches = micro_batches(world.size(), batch_size, micro)};
}

std::int64_t largest_micro_batch(int ranks, std::int64_t batch_size,
                                 std::optional<std::int64_t> micro) {
  auto const parts = micro_batches(ranks, batch_size, micro);
  return (largest_share(ranks, batch_size) + parts - 1) / parts;
}

CropViews crop_views(HostBatch const& batch, std::int64_t depth, std::int64_t global_batch) {
  auto const& crops = batch.crops;
  auto const images = [&](CropGroup const& group) {
    return ImageView{group.pixels.data(), {group.count * crops.images, 3, group.size, group.size}};
  };
  CropViews views{.images = crops.images,
                  .first = crops.first_position % global_batch,
                  .global = images(crops.global),
                  .local = {},
                  .drop_path = {},
                  .masks = batch.masks.masks.empty() ? nullptr : &batch.masks};
  if (crops.local.count > 0) views.local = images(crops.local);
  if (crops.gram.count > 0) views.gram = images(crops.gram);
  if (!batch.drop_path.empty()) {
    views.drop_path = {batch.drop_path.data(),
                       {2 * depth, (crops.global.count + crops.local.count) * crops.images}};
  }
  if (!batch.rope.empty()) views.rope = {batch.rope.data(), {depth, 2}};
  return views;
}

shard::Strategy make_strategy(Config const& config, int ranks) {
  auto strategy = shard::Strategy::named(config.shard.strategy, ranks, config.shard.group_size,
                                         static_cast<int>(config.shard.prefetch));
  strategy.collectives = shard::collectives_named(config.shard.collectives);
  return strategy;
}

}  // namespace dino::train
