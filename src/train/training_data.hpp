// SPDX-License-Identifier: Apache-2.0
// The data sets of a run.
#pragma once
#include <optional>

#include "comm/communicator.hpp"
#include "config/config.hpp"
#include "io/shards.hpp"
#include "train/checkpointing.hpp"

namespace dino::train {

io::FileLocking file_locking(Config const& config);

/// data.shards, staged where data.staging says so. Collective. \throws Error
io::ShardSet open_training_shards(Communicator const& world, Config const& config);

/// The second data set, data.mix.shards, if there is one. Collective. \throws Error, also (usage)
/// where it has no complete batch
std::optional<io::ShardSet> open_mixed_in_shards(Communicator const& world, Config const& config);

/// Notes in a run's progress what its sample order depends on; warns of where it was otherwise up
/// to here.
void note_data(Progress& progress, Config const& config, io::ShardSet const& shards,
               std::optional<io::ShardSet> const& mixed_in, bool warn);

}  // namespace dino::train
