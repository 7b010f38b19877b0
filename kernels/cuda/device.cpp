// SPDX-License-Identifier: Apache-2.0
#include "kernels/device.hpp"

#include <array>

#include "kernels/cuda/check.hpp"
#include "kernels/cuda/context.hpp"

namespace dino {

namespace {

std::string bus_id(int ordinal) {
  std::array<char, 32> bus{};
  cuda::cuda_check(cudaDeviceGetPCIBusId(bus.data(), static_cast<int>(bus.size()), ordinal));
  return bus.data();
}

DeviceInfo device_info(int ordinal) {
  cudaDeviceProp properties{};
  cuda::cuda_check(cudaGetDeviceProperties(&properties, ordinal));
  return {.ordinal = ordinal,
          .name = properties.name,
          .bus = bus_id(ordinal),
          .major = properties.major,
          .minor = properties.minor,
          .memory = static_cast<std::int64_t>(properties.totalGlobalMem)};
}

}  // namespace

std::string bus_of(Cuda const& cuda) {
  return bus_id(cuda.context->ordinal());
}

DeviceList find_devices() {
  int count = 0;
  auto const code = cudaGetDeviceCount(&count);
  if (code != cudaSuccess && code != cudaErrorNoDevice) {
    cudaGetLastError();
    int driver = 0;
    cudaDriverGetVersion(&driver);
    return {.devices = {},
            .reason = no_device_reason(driver, CUDART_VERSION, cudaGetErrorString(code))};
  }
  if (code == cudaErrorNoDevice) {
    cudaGetLastError();
    count = 0;
  }
  std::vector<DeviceInfo> found;
  for (int ordinal = 0; ordinal < count; ++ordinal) found.push_back(device_info(ordinal));
  return usable_devices(std::move(found));
}

}  // namespace dino
