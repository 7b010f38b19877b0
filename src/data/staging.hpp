// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "comm/communicator.hpp"
#include "io/shards.hpp"

namespace dino {

/// Copies the files of a shard set to a node-local folder, each once per node, the ranks of a node
/// sharing the work, and returns the same set there. Files that are there already with the same
/// size and time of modification stay; a file appears under its name only when it is complete.
/// Collective.
/// \throws Error (input) on every rank where a copy failed anywhere
io::ShardSet stage_shards(Communicator const& world, io::ShardSet const& shards,
                          std::string const& folder);

}  // namespace dino
