// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <cstring>

namespace dino::lanes {

/// A vector extension of GCC and Clang; it compiles for every architecture.
using Bytes16 [[gnu::vector_size(16)]] = std::uint8_t;

/// Writes the transpose of a 16 x 16 block of bytes.
[[gnu::always_inline]] inline void transpose16(std::uint8_t const* in, std::ptrdiff_t in_stride,
                                               std::uint8_t* out, std::ptrdiff_t out_stride) {
  Bytes16 a[16], b[16];
  for (int i = 0; i < 16; ++i) std::memcpy(&a[i], in + i * in_stride, 16);
  // Interleaving row i with row i + 8 four times turns rows into columns.
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 8; ++i) {
      b[2 * i] = __builtin_shufflevector(a[i], a[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21,
                                         6, 22, 7, 23);
      b[2 * i + 1] = __builtin_shufflevector(a[i], a[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28,
                                             13, 29, 14, 30, 15, 31);
    }
    for (int i = 0; i < 16; ++i) a[i] = b[i];
  }
  for (int i = 0; i < 16; ++i) std::memcpy(out + i * out_stride, &a[i], 16);
}

}  // namespace dino::lanes
