// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/space.hpp"

namespace dino {

/// A graphics processor that this process sees.
struct DeviceInfo {
  int ordinal = 0;
  std::string name;
  std::string bus;           ///< PCI address, the same in every process of a node
  int major = 0, minor = 0;  ///< compute capability
  std::int64_t memory = 0;   ///< bytes
  std::string describe() const;
};

/// The devices that operations can run on; where there are none, why.
struct DeviceList {
  std::vector<DeviceInfo> devices;
  std::string reason;
};

/// Asks the driver; a build without CUDA sees no device.
DeviceList find_devices();

/// Drops what the program is not compiled for (compute capability below 8.0).
DeviceList usable_devices(std::vector<DeviceInfo> found);

/// Why no device is seen. Versions as CUDA counts them, 13000 for 13.0.
/// \param driver   the newest CUDA that the driver supports; 0: there is no driver
/// \param needed   the CUDA of this build
/// \param problem  the runtime's own words
std::string no_device_reason(int driver, int needed, std::string const& problem);

/// The device of a rank: those of a node are dealt out in turn.
/// \param wish        run.device: auto (a device if there is one), host or cuda
/// \param local_rank  among the ranks of the node
/// \return            its ordinal; none: the host
/// \throws Error (usage) where cuda is wished and no device is usable
std::optional<int> choose_device(std::string const& wish, DeviceList const& list, int local_rank);

/// "needs ... bytes of the device, ... of ... are free" and what to do.
std::string out_of_memory_text(std::int64_t needed, std::int64_t free, std::int64_t total,
                               std::string const& device);

/// What cuDNN may take for its workspace, bytes. It computes in bfloat16 alone; other libraries' is
/// taken when the space is made.
constexpr std::int64_t most_workspace_bytes = std::int64_t{256} << 20;

/// Memory of the device that a space is on, bytes. Whoever else uses it takes of the same.
struct DeviceMemoryState {
  std::int64_t free = 0, total = 0;
  std::string bus;  ///< of the device, see DeviceInfo
};
/// None where the space is no device's.
std::optional<DeviceMemoryState> memory_state(Space const& space);

/// What has been queued on a device since its space was made.
struct Launches {
  std::int64_t kernels = 0;   ///< of this program
  std::int64_t products = 0;  ///< calls of cuBLASLt and cuDNN, a kernel or a few each
  std::int64_t copies_in = 0, copies_out = 0;  ///< the host waits for those that come out
  Launches operator-(Launches const& before) const {
    return {kernels - before.kernels, products - before.products, copies_in - before.copies_in,
            copies_out - before.copies_out};
  }
};
/// Nothing where the space is no device's.
Launches launches(Space const& space);

std::optional<DeviceMemoryState> memory_on(Cuda const& cuda);
Launches launches_on(Cuda const& cuda);

/// PCI address of the space's device, the same in every process of a node.
std::string bus_of(Cuda const& cuda);

/// Operations on a device; one context for the life of the space and its copies.
/// \throws Error (usage) where the device cannot be used
Space device_space(int ordinal, std::function<void()> between);

}  // namespace dino
