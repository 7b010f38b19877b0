// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <optional>

#include "comm/communicator.hpp"
#include "config/config.hpp"
#include "train/device_memory.hpp"
#include "train/training_step.hpp"

namespace dino::train {

/// What one training step takes on these ranks, without reading data.
struct StepFigure {
  std::int64_t steps = 0;
  double seconds = 0;            ///< of one step, the fastest
  double images_per_second = 0;  ///< of all ranks
  double matrix_flops = 0;       ///< of one step on this rank, counted by a dry run
  double gflops = 0;             ///< of this rank, counting the operations that are executed
  std::int64_t parameters = 0;   ///< of the student
  std::int64_t arena_bytes = 0, logits_bytes = 0;  ///< logits are part of the arena
  shard::StoreBytes student, teacher;
  StepTimes times;    ///< of the fastest step on this rank
  Launches launches;  ///< of one step on this rank's device
  /// This rank's device before anything was allocated, and after the last step; none: the host.
  std::optional<DeviceShare> device, device_after;
};

/// Runs `steps` steps (and one before them) of a configuration on noise. Collective.
/// \throws Error (usage) where its plan does not fit into the devices
StepFigure measure_step(Communicator const& world, Config const& config, std::int64_t steps);

}  // namespace dino::train
