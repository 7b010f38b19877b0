// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "config/config.hpp"
#include "kernels/device.hpp"
#include "train/plan.hpp"

namespace dino::train {

/// What the ranks on one device plan to take of it together, before they take anything, in bytes.
struct DeviceShare {
  int ranks = 1;
  std::int64_t planned = 0, free = 0, total = 0;
};

/// Of this rank's device; none on the host. All ranks call this, on whatever device they are.
/// \param own  planned by `plan_memory` for this rank, bytes
std::optional<DeviceShare> device_share(Communicator const& all, Space const& space,
                                        std::int64_t own);

/// The plan for a run on the space, whatever run.device says. \param all_ranks  see plan_memory
PlannedMemory planned_on(Space const& space, Config const& config, int ranks, int all_ranks);

/// "needs ... on ..., of which ... are free", the plan by its parts, and what to change.
std::string lack_of_memory(Config const& config, DeviceShare const& share,
                           PlannedMemory const& memory, int ranks, int all_ranks);

/// Compares the plan with what is free on the devices, before anything is allocated.
/// \param students  the ranks of all students, where there are several
/// \return          of this rank's device; none on the host
/// \throws Error (usage), alike on all ranks, where it does not fit on some device
std::optional<DeviceShare> require_device_memory(Communicator const& world, Space const& space,
                                                 Config const& config,
                                                 std::optional<Communicator> const& students = {});

}  // namespace dino::train
