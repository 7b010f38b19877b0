// SPDX-License-Identifier: Apache-2.0
#include "emulator/memory.hpp"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>

namespace dino::emulator {
namespace {

constexpr std::size_t capacity = std::size_t{64} << 30;  // addresses; pages come with their use
constexpr std::size_t page = 4096;

struct Memory {
  std::byte* begin = nullptr;
  std::size_t used = 0;
  int accesses = 0;
};
Memory memory;

void check(bool good, char const* what) {
  if (good) return;
  std::fprintf(stderr, "emulator: %s\n", what);
  std::abort();
}

void protect(int how) {
  if (memory.used == 0) return;
  check(mprotect(memory.begin, memory.used, how) == 0, "cannot protect memory");
}

}  // namespace

std::byte* take_memory(std::int64_t bytes) {
  if (memory.begin == nullptr) {
    void* const all =
        mmap(nullptr, capacity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check(all != MAP_FAILED, "cannot reserve memory");
    memory.begin = static_cast<std::byte*>(all);
  }
  auto const rounded = (static_cast<std::size_t>(bytes) + page - 1) / page * page;
  check(memory.used + rounded <= capacity, "out of memory");
  auto* const block = memory.begin + memory.used;
  memory.used += rounded;
  return block;
}

std::int64_t memory_in_use() {
  return static_cast<std::int64_t>(memory.used);
}

std::int64_t memory_size() {
  auto const* const mib = std::getenv("DINO_EMULATOR_MEMORY_MIB");
  return mib != nullptr ? std::atoll(mib) << 20 : static_cast<std::int64_t>(capacity);
}

MemoryAccess::MemoryAccess() {
  if (memory.accesses++ == 0) protect(PROT_READ | PROT_WRITE);
}
MemoryAccess::~MemoryAccess() {
  if (--memory.accesses == 0) protect(PROT_NONE);
}

}  // namespace dino::emulator
