// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <span>

#include "base/error.hpp"
#include "comm/communicator.hpp"

namespace CLI {
class App;
}

namespace dino::app {

/// What the chosen command does, on all ranks; filled in when the command line has been read.
using Action = std::function<ExitCode(Communicator const& world)>;

/// A subcommand: declares its options, and sets `action` when it is chosen.
struct Command {
  char const* name;
  char const* summary;
  void (*declare)(CLI::App& command, Action& action);
};

/// All commands, in the order of --help.
std::span<Command const> commands();

void declare_synth(CLI::App& command, Action& action);
void declare_pack(CLI::App& command, Action& action);
void declare_plan(CLI::App& command, Action& action);
void declare_train(CLI::App& command, Action& action);
void declare_features(CLI::App& command, Action& action);
void declare_eval(CLI::App& command, Action& action);
void declare_info(CLI::App& command, Action& action);
void declare_bench(CLI::App& command, Action& action);
void declare_bench_step(CLI::App& command, Action& action);  // of `bench`

}  // namespace dino::app
