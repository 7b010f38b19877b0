// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "data/planes.hpp"

namespace dino::test {

/// A picture of noise from a linear congruential generator that Python reproduces in one line.
struct NoiseImage {
  NoiseImage(int height, int width)
      : pixels(static_cast<std::size_t>(3 * height * width)), height_(height), width_(width) {
    std::uint32_t state = 1;
    for (std::uint8_t& value : pixels) {
      state = state * 1664525U + 1013904223U;
      value = static_cast<std::uint8_t>(state >> 24);
    }
  }
  RgbView view() const { return {pixels.data(), width_, height_}; }
  std::vector<std::uint8_t> pixels;

 private:
  int height_, width_;
};

/// FNV-1a of bytes, 64 bits.
template <class Byte>
std::uint64_t hash_bytes(std::span<Byte const> bytes) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (Byte const byte : bytes) hash = (hash ^ static_cast<std::uint8_t>(byte)) * 0x100000001b3U;
  return hash;
}
inline std::uint64_t hash_bytes(std::vector<std::uint8_t> const& bytes) {
  return hash_bytes(std::span<std::uint8_t const>(bytes));
}
/// Of the pixels in the order [height, width, 3].
inline std::uint64_t hash_picture(Planes const& x) {
  return hash_bytes(x.interleaved());
}
/// Of the bits of floats (little-endian).
inline std::uint64_t hash_floats(std::span<float const> values) {
  return hash_bytes(std::span<std::byte const>(std::as_bytes(values)));
}

}  // namespace dino::test
