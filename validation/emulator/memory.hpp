// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>

namespace dino::emulator {

/// Memory of the emulated device, zero. It is never given back. The program ends with a memory
/// fault where host code touches it.
std::byte* take_memory(std::int64_t bytes);

/// Of the emulated device, whose memory is DINO_EMULATOR_MEMORY_MIB large.
std::int64_t memory_in_use();
std::int64_t memory_size();

/// While one lives, the device's memory can be read and written: in kernels, copies and libraries.
class MemoryAccess {
 public:
  MemoryAccess();
  MemoryAccess(MemoryAccess const&) = delete;
  MemoryAccess& operator=(MemoryAccess const&) = delete;
  ~MemoryAccess();
};

}  // namespace dino::emulator
