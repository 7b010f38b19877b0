// SPDX-License-Identifier: Apache-2.0
// Pictures and damage for the tests of io/.
#pragma once
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "base/philox.hpp"
#include "io/image.hpp"

namespace dino::test {

/// A smooth picture with some noise; `variant` changes its content.
inline io::Image drawn_picture(std::int32_t width, std::int32_t height, std::uint64_t variant = 0) {
  Philox random(17, Purpose::test, variant);
  io::Image image{.width = width, .height = height, .pixels = {}};
  for (std::int32_t y = 0; y < height; ++y) {
    for (std::int32_t x = 0; x < width; ++x) {
      for (std::int32_t c = 0; c < 3; ++c) {
        auto const smooth = static_cast<std::int64_t>(variant) * 40 + x * (3 + c) + y * (5 - c);
        image.pixels.push_back(static_cast<std::uint8_t>(
            (smooth + static_cast<std::int64_t>(random.below(16))) % 256));
      }
    }
  }
  return image;
}

/// Cuts the end off or turns over 1 to 8 bits; a pure function of `number`.
inline std::vector<std::byte> damaged(std::vector<std::byte> bytes, std::uint64_t number) {
  Philox random(23, Purpose::test, number);
  if (number % 4 == 0) {
    bytes.resize(random.below(bytes.size()));
    return bytes;
  }
  for (std::uint64_t flips = 1 + random.below(8); flips > 0; --flips) {
    bytes[random.below(bytes.size())] ^= static_cast<std::byte>(1U << random.below(8));
  }
  return bytes;
}

inline std::vector<std::byte> file_contents(std::string const& path) {
  std::ifstream file(path, std::ios::binary);
  std::string const text{std::istreambuf_iterator<char>(file), {}};
  auto const bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

inline void write_contents(std::string const& path, std::span<std::byte const> bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<char const*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

inline std::vector<std::byte> bytes_of(std::string const& text) {
  auto const bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

}  // namespace dino::test
