// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

namespace dino::host {

/// Float32 memory that an operation needs only while it runs, on processors without bfloat16
/// arithmetic. It grows to the largest use and is kept.
inline float* workspace(std::size_t slot, std::int64_t count) {
  static thread_local std::vector<float> slots[4];
  auto& memory = slots[slot];
  if (memory.size() < static_cast<std::size_t>(count))
    memory.resize(static_cast<std::size_t>(count));
  return memory.data();
}

}  // namespace dino::host
