// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <thread>

#include "app/command.hpp"
#include "comm/device_communicator.hpp"
#include "io/describe.hpp"
#include "kernels/device.hpp"

namespace dino::app {
namespace {

std::string describe_devices() {
  auto text =
      fmt::format("devices: host ({} cores of this node)", std::thread::hardware_concurrency());
  auto const list = find_devices();
  if (list.devices.empty()) return fmt::format("{}; no cuda: {}\n", text, list.reason);
  for (auto const& device : list.devices) text += fmt::format("\n         {}", device.describe());
  return text + '\n';
}

std::string describe_program(Communicator const& world) {
  return fmt::format(
      "dino {}\nbuild: {}, {}, {}\nMPI: {} ranks on {} nodes or more, {}\nNCCL: {}\n{}bf16 matrix products "
      "of "
      "the host: {}\n",
      DINO_VERSION, DINO_BUILD_TYPE, DINO_COMPILER, DINO_BUILD_ARCH, world.size(),
      (world.size() + world.split_node().size() - 1) / world.split_node().size(), DINO_MPI_VERSION,
      nccl_version().empty() ? "none" : nccl_version(), describe_devices(), __builtin_cpu_supports("avx512bf16") != 0 ? "native" : "emulated (slow)");
}

}  // namespace

void declare_info(CLI::App& command, Action& action) {
  auto const path = std::make_shared<std::string>();
  command.add_option("file", *path, "shard, shard folder, checkpoint, feature or metrics file");
  command.callback([path, &action] {
    action = [path](Communicator const& world) {
      auto const program = path->empty() ? describe_program(world) : std::string();
      bool sound = true;
      on_rank_zero(world, [&] {
        auto const about = path->empty() ? io::Description{program} : io::describe_file(*path);
        fmt::print("{}", about.text);
        sound = about.sound;
      });
      return world.any(!sound) ? ExitCode::input : ExitCode::finished;
    };
  });
}

}  // namespace dino::app
