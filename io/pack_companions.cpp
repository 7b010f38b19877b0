// SPDX-License-Identifier: Apache-2.0
#include "io/pack_companions.hpp"

#include <cctype>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "io/codecs.hpp"

namespace dino::io {
namespace {

void require_size(char const* kind, Raster const& raster, ImageSize image) {
  require(raster.width == image.width && raster.height == image.height, ExitCode::input,
          "its {} has {} x {} pixels, the image {} x {}", kind, raster.width, raster.height,
          image.width, image.height);
}

/// The next number of a PGM header; -1: none.
std::int64_t header_number(std::span<std::byte const> bytes, std::size_t& at) {
  auto const letter = [&] { return at < bytes.size() ? std::to_integer<int>(bytes[at]) : 0; };
  while (std::isspace(letter()) != 0 || letter() == '#') {
    if (letter() == '#') {
      while (at < bytes.size() && letter() != '\n') ++at;
    } else {
      ++at;
    }
  }
  std::int64_t number = -1;
  constexpr std::int64_t most = 1 << 30;
  for (; std::isdigit(letter()) != 0 && number < most; ++at)
    number = std::max<std::int64_t>(number, 0) * 10 + (letter() - '0');
  return number;
}

/// A binary PGM of 8 or 16 bits (big-endian). Source: netpbm, pgm(5).
Raster decode_pgm(std::span<std::byte const> bytes) {
  std::size_t at = 2;
  auto const width = header_number(bytes, at);
  auto const height = header_number(bytes, at);
  auto const most = header_number(bytes, at);
  require_sane_size(width, height);
  require(most >= 1 && most <= 65535, ExitCode::input, "PGM: its largest value is {}", most);
  ++at;  // one white space
  std::size_t const size = most > 255 ? 2 : 1;
  std::size_t const pixels = static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
  require(at <= bytes.size() && (bytes.size() - at) / size >= pixels, ExitCode::input,
          "PGM: premature end of file");
  Raster raster{.width = static_cast<std::int32_t>(width),
                .height = static_cast<std::int32_t>(height),
                .values = {}};
  raster.values.resize(pixels);
  for (auto& value : raster.values) {
    for (std::size_t i = 0; i < size; ++i) {
      value = static_cast<std::uint16_t>(value << 8 | std::to_integer<unsigned>(bytes[at++]));
    }
  }
  return raster;
}

bool is_pgm(std::span<std::byte const> bytes) {
  return bytes.size() > 2 && bytes[0] == std::byte{'P'} && bytes[1] == std::byte{'5'};
}

}  // namespace

std::vector<std::byte> prepare_mask(std::vector<std::byte> bytes, ImageSize image) {
  require_size("mask", decode_raster(bytes), image);
  return bytes;
}

std::vector<std::byte> prepare_depth(std::vector<std::byte> bytes, ImageSize image, double scale) {
  bool const pgm = is_pgm(bytes);
  auto raster = pgm ? decode_pgm(bytes) : decode_raster(bytes);
  require_size("depth map", raster, image);
  if (!pgm && scale == 1) return bytes;
  constexpr std::uint16_t unmeasured = 65535;
  for (auto& value : raster.values) {
    double const scaled = std::round(value * scale);
    value = value == unmeasured || scaled >= unmeasured ? std::uint16_t{0}
                                                        : static_cast<std::uint16_t>(scaled);
  }
  return encode_png(raster, 16);
}

}  // namespace dino::io
