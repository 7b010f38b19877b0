// SPDX-License-Identifier: Apache-2.0
#include <sched.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <string>

#include "app/command.hpp"
#include "base/log.hpp"
#include "kernels/runtime.hpp"

namespace dino::app {
namespace {

/// Rank as the launcher tells it before MPI is initialized; 0 without one.
int launcher_rank() {
  for (char const* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"}) {
    if (char const* text = std::getenv(name)) return std::atoi(text);
  }
  return 0;
}

/// Threads of this rank: what OMP_NUM_THREADS says, else its cores, which ranks that are not bound
/// to some share.
int threads_per_rank(int ranks_on_node) {
  if (char const* text = std::getenv("OMP_NUM_THREADS")) return std::max(1, std::atoi(text));
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof(cores), &cores) != 0) return 1;
  int const mine = CPU_COUNT(&cores);
  bool const bound = mine < sysconf(_SC_NPROCESSORS_ONLN);
  return std::max(1, bound ? mine : mine / ranks_on_node);
}

/// Runs the command on all ranks. An error that all ranks meet alike is printed once and ends them
/// in order; one that a rank meets alone ends all at once.
int run_on_ranks(int argc, char** argv, Action const& action) {
  MpiSession const session(&argc, &argv);
  auto const world = Communicator::world();
  log::configure(log::Level::info, world.rank(), world.size());
  try {
    KernelRuntime const runtime(threads_per_rank(world.split_node().size()));
    return static_cast<int>(action(world));
  } catch (...) {
    auto const [message, code] = describe_current_exception();
    if (!session.all_ranks_arrive(2.0)) abort_all_ranks(message, static_cast<int>(code));
    if (world.rank() == 0) log::error("{}", message);
    return static_cast<int>(code);
  }
}

int run(int argc, char** argv) {
  CLI::App app("DINO-HPC: pretrains and evaluates DINO vision transformers on many ranks", "dino");
  app.set_version_flag("--version", "dino " DINO_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 finished; 2 usage; 3 unreadable input; 4 numerical failure; 75 stopped "
      "with a good checkpoint, start again.");
  Action action;
  for (auto const& command : commands()) {
    command.declare(*app.add_subcommand(command.name, command.summary), action);
  }
  try {
    app.parse(argc, argv);
  } catch (CLI::ParseError const& error) {
    bool const asked = error.get_exit_code() == 0;  // --help or --version
    if (launcher_rank() == 0) {
      // CLI11 says only that a command is missing, not that it does not know the word given.
      auto const words = app.remaining(true);
      if (error.get_name() == "RequiredError" && !words.empty())
        fmt::print(stderr, "there is no command '{}'\n", words.front());
      app.exit(error);
    }
    return static_cast<int>(asked ? ExitCode::finished : ExitCode::usage);
  }
  return run_on_ranks(argc, argv, action);
}

}  // namespace
}  // namespace dino::app

int main(int argc, char** argv) {
  return dino::app::run(argc, argv);
}
