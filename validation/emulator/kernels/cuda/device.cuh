// SPDX-License-Identifier: Apache-2.0
// Takes the place of kernels/cuda/device.cuh: kernels run on the processor.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "emulator/emulator.hpp"
#include "kernels/space.hpp"

#define DINO_DYNAMIC_SHARED(type, name) \
  type* name = static_cast<type*>(dino::emulator::here().dynamic_shared)

namespace dino::cuda {

inline std::int64_t multiprocessors_of(Cuda const&) {
  return 1;
}
constexpr std::int64_t partials_bytes = std::int64_t{32} << 20;
std::byte* partials_of(Cuda const& cuda);
void require_partials(std::int64_t bytes);

inline std::uint16_t bfloat16_bits(float x) {
  return bfloat16::round(x);
}

struct LaunchShape {
  dim3 grid, block;
  std::size_t shared_bytes = 0;
};

template <class... Parameters, class... Arguments>
void launch(Cuda const&, LaunchShape const& shape, void (*kernel)(Parameters...),
            Arguments const&... arguments) {
  emulator::run(shape.grid, shape.block, shape.shared_bytes, [&] { kernel(arguments...); });
}

}  // namespace dino::cuda
