// SPDX-License-Identifier: Apache-2.0
#include "comm/device_places.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <unordered_map>

namespace dino {

std::string node_name() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

std::string shared_device(std::vector<std::string> const& places) {
  std::unordered_map<std::string, std::size_t> rank_at;
  for (std::size_t rank = 0; rank < places.size(); ++rank) {
    auto const [it, first] = rank_at.emplace(places[rank], rank);
    if (first) continue;
    auto const space = places[rank].find(' ');
    return fmt::format("ranks {} and {} share the device {} of {}", it->second, rank,
                       places[rank].substr(space + 1), places[rank].substr(0, space));
  }
  return {};
}

}  // namespace dino
