// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <vector>

#include "io/image.hpp"

namespace dino::io {

/// Checks that a mask is a one-channel PNG of the image's size, and gives it back. \throws Error
/// (input)
std::vector<std::byte> prepare_mask(std::vector<std::byte> bytes, ImageSize image);

/// A depth map (16-bit PNG or PGM of the image's size) as 16-bit PNG, its values times `scale`
/// where that is not 1; what then exceeds 16 bits becomes 0, not measured, as is 65535. \throws
/// Error (input)
std::vector<std::byte> prepare_depth(std::vector<std::byte> bytes, ImageSize image, double scale);

}  // namespace dino::io
