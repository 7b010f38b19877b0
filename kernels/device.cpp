// SPDX-License-Identifier: Apache-2.0
#include "kernels/device.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace dino {
namespace {

constexpr int oldest_major = 8;  // bfloat16 arithmetic; see CMAKE_CUDA_ARCHITECTURES

double gib(std::int64_t bytes) {
  return static_cast<double>(bytes) / (1 << 30);
}

std::string version(int number) {
  return fmt::format("{}.{}", number / 1000, number % 1000 / 10);
}

}  // namespace

std::string DeviceInfo::describe() const {
  return fmt::format("cuda:{} {} ({}, compute capability {}.{}, {:.0f} GiB)", ordinal, name, bus,
                     major, minor, gib(memory));
}

DeviceList usable_devices(std::vector<DeviceInfo> found) {
  DeviceList list{.devices = std::move(found), .reason = {}};
  if (list.devices.empty()) {
    list.reason = "the driver shows no device (is CUDA_VISIBLE_DEVICES empty?)";
    return list;
  }
  auto const first = list.devices.front();
  std::erase_if(list.devices, [](auto const& device) { return device.major < oldest_major; });
  if (list.devices.empty()) {
    list.reason = fmt::format("{} is too old: compute capability {}.0 or newer is needed",
                              first.describe(), oldest_major);
  }
  return list;
}

std::string no_device_reason(int driver, int needed, std::string const& problem) {
  if (driver == 0) return "no NVIDIA driver is installed";
  if (driver < needed / 1000 * 1000)
    return fmt::format("the NVIDIA driver is too old: it supports CUDA {}, this build needs {}",
                       version(driver), version(needed / 1000 * 1000));
  return problem;
}

std::optional<int> choose_device(std::string const& wish, DeviceList const& list, int local_rank) {
  if (wish == "host") return std::nullopt;
  if (!list.devices.empty()) {
    auto const place = static_cast<std::size_t>(local_rank) % list.devices.size();
    return list.devices[place].ordinal;
  }
  require(wish == "auto", ExitCode::usage,
          "run.device=cuda, but there is no device: {}. Use run.device=host, or auto", list.reason);
  return std::nullopt;
}

std::string out_of_memory_text(std::int64_t needed, std::int64_t free, std::int64_t total,
                               std::string const& device) {
  return fmt::format(
      "out of memory on {}: {:.2f} GiB more are needed, {:.2f} of {:.2f} GiB are free. Use more "
      "ranks, shard.strategy=full or a smaller run.micro_batch; `dino plan` shows what a run needs",
      device, gib(needed), gib(free), gib(total));
}

std::optional<DeviceMemoryState> memory_state(Space const& space) {
  return std::visit(
      [](auto const& where) -> std::optional<DeviceMemoryState> {
        if constexpr (requires { memory_on(where); }) return memory_on(where);
        return std::nullopt;
      },
      space);
}

Launches launches(Space const& space) {
  return std::visit(
      [](auto const& where) -> Launches {
        if constexpr (requires { launches_on(where); }) return launches_on(where);
        return {};
      },
      space);
}

}  // namespace dino
