// SPDX-License-Identifier: Apache-2.0
// What kernels and their launches take from CUDA itself. The tests put a file of their own in its
// place (validation/emulator), to run the same kernels on the processor.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/stream.hpp"

/// Memory that the threads of a block share, of as many bytes as the launch asks for.
#define DINO_DYNAMIC_SHARED(type, name) extern __shared__ type name[]

namespace dino::cuda {

/// Bits of the nearest bfloat16 value, ties to even, as on the host; every NaN becomes 0x7FFF.
__device__ inline std::uint16_t bfloat16_bits(float x) {
  std::uint16_t bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}

/// Blocks, threads of a block, and bytes of dynamic shared memory.
struct LaunchShape {
  dim3 grid, block;
  std::size_t shared_bytes = 0;
};

/// Queues a kernel.
template <class... Parameters, class... Arguments>
void launch(Cuda const& cuda, LaunchShape const& shape, void (*kernel)(Parameters...),
            Arguments const&... arguments) {
  kernel<<<shape.grid, shape.block, shape.shared_bytes, stream_of(cuda)>>>(arguments...);
  check_launch(cuda);
}

}  // namespace dino::cuda
