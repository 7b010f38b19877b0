// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "config/config.hpp"
#include "data/loader.hpp"
#include "train/training_step.hpp"

namespace dino::train {

/// What this rank takes of each global batch, in micro-batches of at most `micro` images (unset:
/// one).
BatchSlice rank_slice(Communicator const& world, std::int64_t batch_size,
                      std::optional<std::int64_t> micro);

/// Micro-batches of a rank: the same number on all.
std::int64_t micro_batches(int ranks, std::int64_t batch_size, std::optional<std::int64_t> micro);

/// Most images that a micro-batch of any rank has.
std::int64_t largest_micro_batch(int ranks, std::int64_t batch_size,
                                 std::optional<std::int64_t> micro);

/// A micro-batch with all that belongs to it, on the host.
struct HostBatch {
  CropBatch crops;
  std::vector<float> drop_path;     ///< [2 depth, crops * images], or empty: none
  CollatedMasks masks;              ///< empty: none
  std::vector<RopeDraw> rope = {};  ///< [depth, 2], or empty: none
};

/// A micro-batch as the step takes it; host pixels are used where they lie. Those of decoded
/// pictures have extents alone.
CropViews crop_views(HostBatch const& batch, std::int64_t depth, std::int64_t global_batch);

/// The crops that a frozen teacher's passes need whose students share them: without local ones;
/// these too where all crops of an image decide how it is decoded.
config::Crops crops_of_teacher(Config const& config);

/// What a loader makes for training on a space: crops, unless data.augment_device makes them there.
Deliver delivery(Config const& config, Space const& space);

/// The strategy that a configuration names. \throws Error (usage)
shard::Strategy make_strategy(Config const& config, int ranks);

}  // namespace dino::train
