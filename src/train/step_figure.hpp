// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "comm/communicator.hpp"
#include "config/config.hpp"
#include "train/training_step.hpp"

namespace dino::train {

/// What one training step takes on these ranks, without reading data.
struct StepFigure {
  std::int64_t steps = 0;
  double seconds = 0;            ///< of one step, the fastest
  double images_per_second = 0;  ///< of all ranks
  double matrix_flops = 0;       ///< of one step on this rank, counted by a dry run
  double gflops = 0;             ///< of this rank
  std::int64_t parameters = 0;   ///< of the student
  std::int64_t arena_bytes = 0, logits_bytes = 0;  ///< logits are part of the arena
  shard::StoreBytes student, teacher;
  StepTimes times;  ///< of the fastest step
};

/// Runs `steps` steps (and one before them) of a configuration on noise. Collective.
StepFigure measure_step(Communicator const& world, Config const& config, std::int64_t steps);

}  // namespace dino::train
