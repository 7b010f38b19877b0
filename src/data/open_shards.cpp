// SPDX-License-Identifier: Apache-2.0
#include "data/open_shards.hpp"

#include <optional>
#include <vector>

namespace dino {

io::ShardSet open_shards(Communicator const& world, std::string const& path,
                         io::FileLocking locking) {
  std::optional<io::ShardSet> set;
  std::vector<std::byte> index;
  on_rank_zero(world, [&] {
    set = io::ShardSet::open(path, locking);
    if (world.size() > 1) index = set->serialize();
  });
  if (world.size() == 1) return *set;
  index = world.all_gather_varying(index);  // empty on all ranks but one
  return set ? *set : io::ShardSet::deserialize(index);
}

}  // namespace dino
