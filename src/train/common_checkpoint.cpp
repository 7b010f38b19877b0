// SPDX-License-Identifier: Apache-2.0
#include "train/common_checkpoint.hpp"

#include "base/error.hpp"
#include "base/log.hpp"

namespace dino::train {

template <class T>
std::optional<Progress> load_common_checkpoint(TrainingStep<T>& step, Config const& config,
                                               Communicator const& all) {
  constexpr std::int64_t none = -1;
  std::optional<std::int64_t> limit;
  for (;;) {
    std::optional<Progress> found;
    if (limit != none) found = load_newest_checkpoint(step, config, limit);
    auto const here = found ? found->step : none;
    auto const newest = all.max(here), oldest = -all.max(-here);
    if (newest == oldest) return found;
    // Killed between the first checkpoints of two students: all begin anew.
    require(
        oldest != none || newest == 0, ExitCode::usage,
        "run.dir '{}' has {}, while another of distill.students is at step {}: they go on "
        "together. Restore what is missing, or give all of them new run directories",
        config.run.dir,
        here == none ? std::string("no checkpoint that all have") : fmt::format("step {}", here),
        newest);
    if (here > oldest && step.world().rank() == 0 && oldest != none)
      log::warning("'{}' goes back from step {} to {}, the newest of all students", config.run.dir,
                   here, oldest);
    limit = oldest;
  }
}

template std::optional<Progress> load_common_checkpoint(TrainingStep<float>&, Config const&,
                                                        Communicator const&);
template std::optional<Progress> load_common_checkpoint(TrainingStep<bfloat16>&, Config const&,
                                                        Communicator const&);

}  // namespace dino::train
