// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <span>

#include "io/image.hpp"

namespace dino::io {

/// EXIF orientation, 1 to 8, of a TIFF block (with or without "Exif\0\0" before it); 1 where there
/// is none or it is unreadable, as viewers do. Source: Exif 2.32, 4.6.4 (tag 0x0112 of IFD 0).
int exif_orientation(std::span<std::byte const> exif);

/// Whether an orientation exchanges width and height.
constexpr bool swaps_sides(int orientation) {
  return orientation >= 5;
}

/// The picture turned and mirrored so that it stands upright.
Image upright(Image image, int orientation);

}  // namespace dino::io
