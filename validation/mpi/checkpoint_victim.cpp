// SPDX-License-Identifier: Apache-2.0
// checkpoint_victim write DIR: saves checkpoints 1, 2, 3, ... until it is killed.
// checkpoint_victim check DIR: prints the newest step, and fails unless every checkpoint is whole.
#include <cstdio>
#include <string>

#include "base/error.hpp"
#include "io/checkpoint.hpp"

namespace {

constexpr std::int64_t elements = 4'000'000;

void write(dino::Communicator const& comm, std::string const& folder) {
  auto const share = dino::share_of(elements, comm.rank(), comm.size());
  std::vector<float> values(static_cast<std::size_t>(share.size()));
  for (std::int64_t step = 1;; ++step) {
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(step + static_cast<std::int64_t>(i));
    dino::io::CheckpointPart const part{"student/weight", {elements}, share.begin, values};
    dino::io::write_checkpoint(comm, dino::io::checkpoint_path(folder, step), {&part, 1}, {});
    if (comm.rank() == 0) dino::io::publish_checkpoint(folder, step, 3, 0);
  }
}

void check(std::string const& folder) {
  auto const steps = dino::io::list_checkpoints(folder);
  dino::require(!steps.empty(), dino::ExitCode::input, "no checkpoint in '{}'", folder);
  for (auto const step : steps) {
    auto const fault = dino::io::find_checkpoint_fault(dino::Communicator::self(),
                                                       dino::io::checkpoint_path(folder, step));
    dino::require(!fault, dino::ExitCode::input, "{}", fault.value_or(""));
  }
  auto const fault =
      dino::io::find_checkpoint_fault(dino::Communicator::self(), folder + "/latest.h5");
  dino::require(!fault, dino::ExitCode::input, "{}", fault.value_or(""));
  std::printf("%lld\n", static_cast<long long>(steps.front()));
}

}  // namespace

int main(int argc, char** argv) {
  dino::MpiSession const session(&argc, &argv);
  if (argc != 3) return 2;
  if (std::string(argv[1]) == "write") write(dino::Communicator::world(), argv[2]);
  check(argv[2]);
  return 0;
}
