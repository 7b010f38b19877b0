// SPDX-License-Identifier: Apache-2.0
#include "kernels/space.hpp"

#include <cstring>
#include <new>

#include "kernels/memory.hpp"

namespace dino {

namespace {
constexpr std::size_t host_alignment = 64;
}

MemoryBlock allocate(Host const&, std::int64_t bytes) {
  auto const rounded =
      (static_cast<std::size_t>(bytes) + host_alignment - 1) / host_alignment * host_alignment;
  auto* const data =
      static_cast<std::byte*>(::operator new (rounded, std::align_val_t{host_alignment}));
  std::memset(data, 0, rounded);
  return {data, [](std::byte* p) { ::operator delete (p, std::align_val_t{host_alignment}); }};
}

MemoryBlock allocate(Dry const&, std::int64_t) {
  return {};
}

void copy_in(Host const&, void* to, void const* from, std::int64_t bytes) {
  std::memcpy(to, from, static_cast<std::size_t>(bytes));
}
void copy_in(Dry const&, void*, void const*, std::int64_t) {}

void copy_out(Host const&, void* to, void const* from, std::int64_t bytes) {
  std::memcpy(to, from, static_cast<std::size_t>(bytes));
}
void copy_out(Dry const&, void*, void const*, std::int64_t) {}

void wait_for(Host const&) {}
void wait_for(Dry const&) {}

Buffer::Buffer(Space const& space, std::int64_t bytes) : bytes_(bytes) {
  if (is_dry(space)) {
    data_ = reinterpret_cast<std::byte*>(host_alignment);  // never read
    return;
  }
  if (bytes == 0) return;
  auto const block = std::visit([&](auto const& where) { return allocate(where, bytes); }, space);
  data_ = block.data;
  owner_ = {block.data, block.free};
}

void copy_bytes_to_space(Space const& space, void* to, void const* from, std::int64_t bytes) {
  if (bytes <= 0) return;
  std::visit([&](auto const& where) { copy_in(where, to, from, bytes); }, space);
}

void copy_bytes_to_host(Space const& space, void* to, void const* from, std::int64_t bytes) {
  if (bytes <= 0) return;
  std::visit([&](auto const& where) { copy_out(where, to, from, bytes); }, space);
}

void synchronize(Space const& space) {
  std::visit([](auto const& where) { wait_for(where); }, space);
}

}  // namespace dino
