// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "comm/communicator.hpp"
#include "config/config.hpp"
#include "config/student_set.hpp"
#include "train/training_step.hpp"

namespace dino::train {

/// Values of all schedules at a 0-based step. Source: method.md 6.3, 6.4.
StepSettings settings_at(Config const& config, std::int64_t step, std::int64_t steps_per_epoch,
                         std::int64_t steps);

/// Trains as the configuration says, going on from the newest good checkpoint of the run directory.
/// Several students take consecutive ranks each, go on from a step that all of them have, and stop
/// together. All ranks call it. Returns `finished`, or `stopped` where it should be started again.
/// \throws Error
ExitCode train(Communicator const& world, StudentSet const& students);

}  // namespace dino::train
