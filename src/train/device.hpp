// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "config/config.hpp"
#include "kernels/device.hpp"

namespace dino::train {

/// The device of one rank, as all ranks are told it.
struct Binding {
  std::string node;
  std::string kind;  ///< "host", or name and compute capability: equal for equal devices
  std::string bus;   ///< which of the node's devices; empty: the host
  std::string text;  ///< for people
};

/// \throws Error (usage) where some ranks have a device and others have not, or one of another kind
void require_equal_devices(std::vector<Binding> const& bindings);

/// The bindings as a table, and below it a warning where ranks share a device.
std::string binding_table(std::vector<Binding> const& bindings);

/// The space of this rank: by run.device, what the ranks see, and the rank's place on its node.
/// Rank 0 logs which rank has which device. All ranks call this. \param wish     auto, host or cuda
/// \param between  see Host and Cuda
/// \throws Error (usage), alike on all ranks, where cuda is wished and a rank has no device, or
///         where devices are mixed
Space make_space(Communicator const& world, std::string const& wish,
                 std::function<void()> between = {});

}  // namespace dino::train
