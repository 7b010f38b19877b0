// SPDX-License-Identifier: Apache-2.0
#include "comm/device_places.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <sstream>
#include <unordered_map>

namespace dino {

std::string node_name() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

std::string device_place(std::string const& bus) {
  std::string system;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> system;
  return fmt::format("{} {} {}", system.empty() ? node_name() : system, bus, node_name());
}

std::string shared_device(std::vector<std::string> const& places) {
  std::unordered_map<std::string, std::size_t> rank_at;
  for (std::size_t rank = 0; rank < places.size(); ++rank) {
    std::string system, bus, node;
    std::istringstream(places[rank]) >> system >> bus >> node;
    auto const [it, first] = rank_at.emplace(system + ' ' + bus, rank);
    if (first) continue;
    return fmt::format("ranks {} and {} share the device {} of {}", it->second, rank, bus, node);
  }
  return {};
}

}  // namespace dino
