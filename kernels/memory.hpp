// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/space.hpp"

namespace dino {

/// Memory and how it is freed.
struct MemoryBlock {
  std::byte* data = nullptr;
  void (*free)(std::byte*) = [](std::byte*) {};
};

/// `bytes` > 0 bytes, zero.
MemoryBlock allocate(Host const& host, std::int64_t bytes);
MemoryBlock allocate(Dry const& dry, std::int64_t bytes);
MemoryBlock allocate(Cuda const& cuda, std::int64_t bytes);

/// `bytes` > 0 bytes of host memory for copies that go on while the space computes: pinned for a
/// device.
MemoryBlock allocate_for_upload(Host const& host, std::int64_t bytes);
MemoryBlock allocate_for_upload(Dry const& dry, std::int64_t bytes);
MemoryBlock allocate_for_upload(Cuda const& cuda, std::int64_t bytes);

/// Copies `bytes` > 0 bytes between host memory and the space's, see copy_bytes_to_space.
void copy_in(Host const& host, void* to, void const* from, std::int64_t bytes);
void copy_in(Dry const& dry, void* to, void const* from, std::int64_t bytes);
void copy_in(Cuda const& cuda, void* to, void const* from, std::int64_t bytes);
void copy_out(Host const& host, void* to, void const* from, std::int64_t bytes);
void copy_out(Dry const& dry, void* to, void const* from, std::int64_t bytes);
void copy_out(Cuda const& cuda, void* to, void const* from, std::int64_t bytes);

void wait_for(Host const& host);
void wait_for(Dry const& dry);
void wait_for(Cuda const& cuda);

}  // namespace dino
