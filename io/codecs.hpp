// SPDX-License-Identifier: Apache-2.0
// The two codecs behind io/image.hpp, private to it.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "io/image.hpp"

namespace dino::io {

/// Most pixels of one picture; a larger one is refused before anything is allocated.
constexpr std::int64_t most_pixels = std::int64_t{1} << 28;

/// \throws Error (input) where a side is not positive or the picture is larger than `most_pixels`
void require_sane_size(std::int64_t width, std::int64_t height);

bool is_jpeg(std::span<std::byte const> bytes);
bool is_png(std::span<std::byte const> bytes);

Image decode_jpeg(std::span<std::byte const> bytes, DecodeOptions options);
ImageSize jpeg_size(std::span<std::byte const> bytes);
Image decode_png(std::span<std::byte const> bytes);
ImageSize png_size(std::span<std::byte const> bytes);

}  // namespace dino::io
