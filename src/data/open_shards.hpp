// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "comm/communicator.hpp"
#include "io/shards.hpp"

namespace dino {

/// Opens a shard set for all ranks: rank 0 reads the index, the others get it by broadcast.
/// Collective. \throws Error alike on all ranks
io::ShardSet open_shards(Communicator const& world, std::string const& path,
                         io::FileLocking locking = io::FileLocking::yes);

}  // namespace dino
