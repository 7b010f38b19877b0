// SPDX-License-Identifier: Apache-2.0
#include "io/orientation.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

namespace dino::io {
namespace {

/// Numbers of a TIFF block in its byte order; 0 past the end.
class TiffReader {
 public:
  explicit TiffReader(std::span<std::byte const> bytes)
      : bytes_(bytes), big_endian_(!bytes.empty() && bytes[0] == std::byte{'M'}) {}
  std::uint32_t number(std::size_t at, std::size_t size) const {
    if (at > bytes_.size() || bytes_.size() - at < size) return 0;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
      std::size_t const from = big_endian_ ? at + i : at + size - 1 - i;
      value = value << 8 | std::to_integer<std::uint32_t>(bytes_[from]);
    }
    return value;
  }

 private:
  std::span<std::byte const> bytes_;
  bool big_endian_;
};

/// Position in the stored picture of pixel (x, y) of the upright one.
std::pair<std::int64_t, std::int64_t> stored_position(int orientation, std::int64_t x,
                                                      std::int64_t y, std::int64_t width,
                                                      std::int64_t height) {
  switch (orientation) {
    case 2:
      return {width - 1 - x, y};
    case 3:
      return {width - 1 - x, height - 1 - y};
    case 4:
      return {x, height - 1 - y};
    case 5:
      return {y, x};
    case 6:
      return {y, height - 1 - x};
    case 7:
      return {width - 1 - y, height - 1 - x};
    case 8:
      return {width - 1 - y, x};
    default:
      return {x, y};
  }
}

}  // namespace

int exif_orientation(std::span<std::byte const> exif) {
  constexpr char mark[] = "Exif\0";
  if (exif.size() >= sizeof(mark) && std::memcmp(exif.data(), mark, sizeof(mark)) == 0) {
    exif = exif.subspan(sizeof(mark));
  }
  TiffReader const tiff(exif);
  if (tiff.number(2, 2) != 42) return 1;
  std::size_t const directory = tiff.number(4, 4);
  std::uint32_t const entries = tiff.number(directory, 2);
  for (std::uint32_t i = 0; i < entries; ++i) {
    std::size_t const entry = directory + 2 + std::size_t{12} * i;
    if (entry >= exif.size()) break;
    constexpr std::uint32_t orientation_tag = 0x0112;
    constexpr std::uint32_t type_short = 3;
    if (tiff.number(entry, 2) != orientation_tag || tiff.number(entry + 2, 2) != type_short) {
      continue;
    }
    auto const value = static_cast<int>(tiff.number(entry + 8, 2));
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

Image upright(Image image, int orientation) {
  if (orientation < 2 || orientation > 8) return image;
  Image turned{.width = image.width, .height = image.height, .pixels = {}};
  if (swaps_sides(orientation)) std::swap(turned.width, turned.height);
  turned.pixels.resize(image.pixels.size());
  std::uint8_t* out = turned.pixels.data();
  for (std::int64_t y = 0; y < turned.height; ++y) {
    for (std::int64_t x = 0; x < turned.width; ++x, out += 3) {
      auto const [from_x, from_y] = stored_position(orientation, x, y, image.width, image.height);
      std::copy_n(image.row(from_y) + from_x * 3, 3, out);
    }
  }
  return turned;
}

}  // namespace dino::io
