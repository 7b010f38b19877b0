// SPDX-License-Identifier: Apache-2.0
#include "train/device_memory.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace dino::train {
namespace {

std::string size_text(std::int64_t bytes) {
  constexpr double mib = 1 << 20;
  auto const size = static_cast<double>(bytes) / mib;
  return size < 1024 ? fmt::format("{:.1f} MiB", size) : fmt::format("{:.2f} GiB", size / 1024);
}

}  // namespace

std::optional<DeviceShare> device_share(Communicator const& all, Space const& space,
                                        std::int64_t own) {
  auto const node = all.split_node();
  node.barrier();  // those who share a device have made their contexts
  auto const mine = memory_state(space);
  auto const buses = node.all_gather_text(mine ? mine->bus : "");
  auto const planned = node.all_gather_text(std::to_string(own));
  auto const free = node.all_gather_text(std::to_string(mine ? mine->free : 0));
  if (!mine) return std::nullopt;
  DeviceShare share{.ranks = 0, .planned = 0, .free = mine->free, .total = mine->total};
  for (std::size_t rank = 0; rank < buses.size(); ++rank) {
    if (buses[rank] != mine->bus) continue;
    ++share.ranks;
    share.planned += std::stoll(planned[rank]);
    share.free = std::min<std::int64_t>(share.free, std::stoll(free[rank]));
  }
  return share;
}

PlannedMemory planned_on(Space const& space, Config const& config, int ranks, int all_ranks) {
  auto there = config;
  there.run.device = processor_of(space) == Processor::cuda ? "cuda" : "host";
  return plan_memory(there, ranks, all_ranks);
}

std::string lack_of_memory(Config const& config, DeviceShare const& share,
                           PlannedMemory const& memory, int ranks, int all_ranks) {
  std::string text = fmt::format(
      "the run does not fit into the device: {} are planned{}, {} of {} are free. Planned for a "
      "rank:",
      size_text(share.planned),
      share.ranks > 1 ? fmt::format(" by the {} ranks on it", share.ranks) : "",
      size_text(share.free), size_text(share.total));
  for (auto const& [name, bytes] : parts_of(memory))
    text += fmt::format("\n  {:<38} {:>12}", name, size_text(bytes));
  auto there = config;
  there.run.device = "cuda";
  auto const room = static_cast<double>(share.free) / share.ranks;
  auto change = fitting_change(there, ranks, room, all_ranks);
  if (change && change->starts_with("--ranks "))
    change = change->substr(8) + " ranks, each on a device of its own";
  return text + (change ? "\nEnough would be: " + *change
                        : "\nTake devices with more memory, more of them with "
                          "shard.strategy=full, a smaller run.micro_batch or a smaller model");
}

std::optional<DeviceShare> require_device_memory(Communicator const& world, Space const& space,
                                                 Config const& config,
                                                 std::optional<Communicator> const& students) {
  auto const& all = students ? *students : world;
  if (!all.any(memory_state(space).has_value())) return std::nullopt;
  int const all_ranks = students ? students->size() : 0;
  PlannedMemory memory;
  if (memory_state(space)) memory = planned_on(space, config, world.size(), all_ranks);
  auto const share = device_share(all, space, memory.total_bytes());
  std::string problem;
  if (share && share->planned > share->free)
    problem = lack_of_memory(config, *share, memory, world.size(), all_ranks);
  auto const problems = all.all_gather_text(problem);
  for (std::size_t rank = 0; rank < problems.size(); ++rank) {
    require(problems[rank].empty(), ExitCode::usage, "{}{}",
            problems.size() > 1 ? fmt::format("rank {}: ", rank) : "", problems[rank]);
  }
  return share;
}

}  // namespace dino::train
