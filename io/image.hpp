// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dino::io {

/// A decoded picture: 8-bit RGB, [height, width, 3], upright (EXIF orientation applied).
struct Image {
  std::int32_t width = 0, height = 0;
  std::vector<std::uint8_t> pixels;
  std::uint8_t const* row(std::int64_t y) const { return pixels.data() + y * width * 3; }
};

struct DecodeOptions {
  /// JPEG: decode at 1/2, 1/4 or 1/8 where neither side falls below this, pixels; 0: full size.
  std::int32_t least_side = 0;
};

/// Decodes a JPEG or PNG by its content, not its name: grey, alpha (dropped), palette, 16-bit and
/// CMYK become RGB as Pillow's convert("RGB") makes them, but of 16-bit grey the upper 8 bits count
/// (Pillow clips it to white). Data that end early are an error. \throws Error (input) saying what
/// is wrong
Image decode_image(std::span<std::byte const> bytes, DecodeOptions options = {});

/// Size without decoding the pixels, upright. \throws Error (input)
struct ImageSize {
  std::int32_t width = 0, height = 0;
};
ImageSize image_size(std::span<std::byte const> bytes);

/// A single-channel picture of 8 or 16 bits, as class masks and depth maps are: [height, width].
struct Raster {
  std::int32_t width = 0, height = 0;
  std::vector<std::uint16_t> values;
};
Raster decode_raster(std::span<std::byte const> png);

std::vector<std::byte> encode_png(Image const& image);
std::vector<std::byte> encode_png(Raster const& raster, int bits);    ///< bits: 8 or 16
std::vector<std::byte> encode_jpeg(Image const& image, int quality);  ///< 4:2:0, quality 1 to 100

}  // namespace dino::io
