// SPDX-License-Identifier: Apache-2.0
#include "train/device.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"
#include "comm/device_places.hpp"

namespace dino::train {
namespace {

Binding binding(std::optional<DeviceInfo> const& device) {
  if (!device) return {.node = node_name(), .kind = "host", .bus = {}, .text = "host"};
  return {.node = node_name(),
          .kind = fmt::format("{} (compute capability {}.{})", device->name, device->major,
                              device->minor),
          .bus = device->bus,
          .text = device->describe()};
}

std::vector<Binding> share_bindings(Communicator const& world, Binding const& mine) {
  auto const nodes = world.all_gather_text(mine.node), kinds = world.all_gather_text(mine.kind),
             buses = world.all_gather_text(mine.bus), texts = world.all_gather_text(mine.text);
  std::vector<Binding> all;
  for (std::size_t i = 0; i < nodes.size(); ++i)
    all.push_back({nodes[i], kinds[i], buses[i], texts[i]});
  return all;
}

/// This rank's device. What goes wrong on some ranks is thrown on all of them.
std::optional<DeviceInfo> agreed_device(Communicator const& world, std::string const& wish) {
  std::optional<DeviceInfo> device;
  std::string problem;
  auto const local_rank = world.local_rank();
  try {
    auto const list = wish == "host" ? DeviceList{} : find_devices();
    if (auto const ordinal = choose_device(wish, list, local_rank)) {
      device = *std::find_if(list.devices.begin(), list.devices.end(),
                             [&](auto const& d) { return d.ordinal == *ordinal; });
    }
  } catch (Error const& error) {
    problem = error.what();
  }
  auto const problems = world.all_gather_text(problem);
  auto const first = std::find_if(problems.begin(), problems.end(),
                                  [](std::string const& text) { return !text.empty(); });
  if (first == problems.end()) return device;
  if (world.size() == 1) fail(ExitCode::usage, "{}", *first);
  fail(ExitCode::usage, "rank {}: {}", first - problems.begin(), *first);
}

}  // namespace

void require_equal_devices(std::vector<Binding> const& bindings) {
  for (std::size_t i = 1; i < bindings.size(); ++i) {
    auto const &first = bindings[0], &other = bindings[i];
    require(other.kind == first.kind, ExitCode::usage,
            "devices are mixed: rank 0 on {} has {}, rank {} on {} has {}. Choose nodes with equal "
            "devices, hide the others (CUDA_VISIBLE_DEVICES), or use run.device=host",
            first.node, first.kind, i, other.node, other.kind);
  }
}

std::string binding_table(std::vector<Binding> const& bindings) {
  std::string table;
  std::map<std::pair<std::string, std::string>, int> ranks_of;
  for (std::size_t i = 0; i < bindings.size(); ++i) {
    auto const& b = bindings[i];
    table += fmt::format("{}rank {} on {}: {}", i == 0 ? "" : "\n", i, b.node, b.text);
    ++ranks_of[{b.node, b.bus}];
  }
  for (auto const& [place, ranks] : ranks_of) {
    if (ranks < 2 || place.second.empty()) continue;
    table += fmt::format("\n{} ranks share {} on {}: their data goes through the host, slowly",
                         ranks, place.second, place.first);
  }
  return table;
}

Space make_space(Communicator const& world, std::string const& wish,
                 std::function<void()> between) {
  auto const device = agreed_device(world, wish);
  auto const bindings = share_bindings(world, binding(device));
  require_equal_devices(bindings);
  if (!device) return Host{std::move(between)};
  if (world.rank() == 0) log::info("{}", binding_table(bindings));
  return device_space(device->ordinal, std::move(between));
}

}  // namespace dino::train
