// SPDX-License-Identifier: Apache-2.0
#include "io/image.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/error.hpp"
#include "io/codecs.hpp"

namespace dino::io {
namespace {

bool begins_with(std::span<std::byte const> bytes, std::string_view mark) {
  return bytes.size() >= mark.size() &&
         std::equal(mark.begin(), mark.end(), bytes.begin(),
                    [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
}

/// Formats that are named in the message though they are not read.
struct Known {
  std::string_view mark, name;
};
constexpr std::array<Known, 9> known_formats{{{"II*", "a TIFF"},
                                              {"MM", "a TIFF"},
                                              {"GIF8", "a GIF"},
                                              {"BM", "a BMP"},
                                              {"RIFF", "a WebP"},
                                              {"P5", "a PGM"},
                                              {"P6", "a PPM"},
                                              {"\x89HDF", "an HDF5"},
                                              {"<", "a text"}}};

[[noreturn]] void refuse(std::span<std::byte const> bytes) {
  require(!bytes.empty(), ExitCode::input, "the file is empty");
  for (auto const& format : known_formats) {
    if (begins_with(bytes, format.mark)) {
      fail(ExitCode::input, "{} file, neither JPEG nor PNG", format.name);
    }
  }
  fail(ExitCode::input, "neither JPEG nor PNG");
}

}  // namespace

bool is_jpeg(std::span<std::byte const> bytes) {
  return begins_with(bytes, "\xFF\xD8\xFF");
}
bool is_png(std::span<std::byte const> bytes) {
  return begins_with(bytes, "\x89PNG\r\n\x1A\n");
}

void require_sane_size(std::int64_t width, std::int64_t height) {
  require(width > 0 && height > 0, ExitCode::input, "the picture is empty ({} x {} pixels)", width,
          height);
  require(width <= most_pixels / height, ExitCode::input,
          "the picture is too large ({} x {} pixels; at most {} in all)", width, height,
          most_pixels);
}

Image decode_image(std::span<std::byte const> bytes, DecodeOptions options) {
  if (is_jpeg(bytes)) return decode_jpeg(bytes, options);
  if (is_png(bytes)) return decode_png(bytes);
  refuse(bytes);
}

ImageSize image_size(std::span<std::byte const> bytes) {
  if (is_jpeg(bytes)) return jpeg_size(bytes);
  if (is_png(bytes)) return png_size(bytes);
  refuse(bytes);
}

}  // namespace dino::io
