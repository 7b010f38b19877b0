// SPDX-License-Identifier: Apache-2.0
// Devices in a build without CUDA: there are none.
#include "base/error.hpp"
#include "kernels/device.hpp"

namespace dino {

DeviceList find_devices() {
  return {.devices = {}, .reason = "this build has no CUDA"};
}

std::string bus_of(Cuda const&) {
  return {};
}

Space device_space(int ordinal, std::function<void()>) {
  fail(ExitCode::usage, "device {} cannot be used: this build has no CUDA", ordinal);
}

}  // namespace dino
