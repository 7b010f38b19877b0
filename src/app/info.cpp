// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <thread>

#include "app/command.hpp"
#include "io/describe.hpp"

namespace dino::app {
namespace {

std::string describe_program(Communicator const& world) {
  return fmt::format(
      "dino {}\nbuild: {}, {}, {}\nMPI: {} ranks on {} nodes or more, {}\ndevices: host ({} cores "
      "of "
      "this node); this build has no CUDA\nbf16 matrix products: {}\n",
      DINO_VERSION, DINO_BUILD_TYPE, DINO_COMPILER, DINO_BUILD_ARCH, world.size(),
      (world.size() + world.split_node().size() - 1) / world.split_node().size(), DINO_MPI_VERSION,
      std::thread::hardware_concurrency(),
      __builtin_cpu_supports("avx512bf16") != 0 ? "native" : "emulated (slow)");
}

}  // namespace

void declare_info(CLI::App& command, Action& action) {
  auto const path = std::make_shared<std::string>();
  command.add_option("file", *path, "shard, shard folder, checkpoint, feature or metrics file");
  command.callback([path, &action] {
    action = [path](Communicator const& world) {
      std::string text;
      if (path->empty()) text = describe_program(world);
      on_rank_zero(world, [&] {
        if (!path->empty()) text = io::describe_file(*path);
        fmt::print("{}", text);
      });
      return ExitCode::finished;
    };
  });
}

}  // namespace dino::app
