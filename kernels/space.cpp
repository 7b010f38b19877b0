// SPDX-License-Identifier: Apache-2.0
#include "kernels/space.hpp"

#include <cstdlib>
#include <cstring>
#include <new>

namespace dino {

namespace {
constexpr std::size_t host_alignment = 64;
}

Buffer::Buffer(Space const& space, std::int64_t bytes) : bytes_(bytes) {
  if (is_dry(space)) {
    data_ = reinterpret_cast<std::byte*>(host_alignment);  // never read
    return;
  }
  if (bytes == 0) return;
  auto const rounded =
      (static_cast<std::size_t>(bytes) + host_alignment - 1) / host_alignment * host_alignment;
  data_ = static_cast<std::byte*>(::operator new(rounded, std::align_val_t{host_alignment}));
  std::memset(data_, 0, rounded);
  owner_ = {data_, [](std::byte* p) { ::operator delete(p, std::align_val_t{host_alignment}); }};
}

void copy_bytes_to_space(Space const& space, void* to, void const* from, std::int64_t bytes) {
  if (!is_dry(space) && bytes > 0) std::memcpy(to, from, static_cast<std::size_t>(bytes));
}

void copy_bytes_to_host(Space const& space, void* to, void const* from, std::int64_t bytes) {
  if (!is_dry(space) && bytes > 0) std::memcpy(to, from, static_cast<std::size_t>(bytes));
}

}  // namespace dino
