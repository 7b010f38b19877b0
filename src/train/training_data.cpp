// SPDX-License-Identifier: Apache-2.0
#include "train/training_data.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "data/open_shards.hpp"
#include "data/staging.hpp"

namespace dino::train {

io::FileLocking file_locking(Config const& config) {
  return config.data.file_locking ? io::FileLocking::yes : io::FileLocking::no;
}

io::ShardSet open_training_shards(Communicator const& world, Config const& config) {
  auto set = open_shards(world, config.data.shards, file_locking(config));
  return config.data.staging.empty() ? set : stage_shards(world, set, config.data.staging);
}

std::optional<io::ShardSet> open_mixed_in_shards(Communicator const& world, Config const& config) {
  auto const& mix = config.data.mix;
  if (mix.shards.empty()) return std::nullopt;
  auto set = open_shards(world, mix.shards, file_locking(config));
  require(set.size() >= config.data.batch_size, ExitCode::usage,
          "data.batch_size={} is larger than the data set of {} images in data.mix.shards='{}'. "
          "Try data.batch_size={}, or data.mix.shards=\"\"",
          config.data.batch_size, set.size(), mix.shards, set.size());
  if (config.data.staging.empty()) return set;
  // Apart from the first set: files of both may have the same names.
  return stage_shards(world, set, config.data.staging + "/mixed_in");
}

void note_data(Progress& progress, Config const& config, io::ShardSet const& shards,
               std::optional<io::ShardSet> const& mixed_in, bool warn) {
  auto const before = progress;
  progress.dataset_size = shards.size();
  progress.mixed_in_size = mixed_in ? mixed_in->size() : 0;
  progress.mixed_in_share = mixed_in ? config.data.mix.share : 0;
  if (!warn) return;
  if (before.dataset_size != progress.dataset_size) {
    log::warning(
        "the data set had {} images and has {} now: the order of samples differs from here",
        before.dataset_size, progress.dataset_size);
  }
  if (before.mixed_in_size != progress.mixed_in_size ||
      before.mixed_in_share != progress.mixed_in_share) {
    log::warning(
        "data.mix had {} images in a share {} of the steps and has {} in {} now: the order of "
        "samples differs from here",
        before.mixed_in_size, before.mixed_in_share, progress.mixed_in_size,
        progress.mixed_in_share);
  }
}

}  // namespace dino::train
