// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <optional>

#include "base/philox.hpp"
#include "config/config.hpp"
#include "data/colour.hpp"
#include "data/resize.hpp"

namespace dino {

/// Aspect ratios (width / height) of crops.
constexpr std::array<double, 2> crop_ratio{3.0 / 4.0, 4.0 / 3.0};  // method.md 5.3

/// The box that is used when no random one is found: the largest centred one of a permitted aspect
/// ratio.
CropBox fallback_box(Extents image, std::array<double, 2> const& ratio = crop_ratio);

/// A random box, or none where ten tries found none that fits.
std::optional<CropBox> try_random_crop(Philox& random, Extents image,
                                       std::array<double, 2> const& scale,
                                       std::array<double, 2> const& ratio);

/// A random box: its area a uniform share of the image's in `scale`, its aspect ratio log-uniform.
/// Source: method.md 5.3 (torchvision's RandomResizedCrop).
CropBox random_resized_crop(Philox& random, Extents image, std::array<double, 2> const& scale,
                            std::array<double, 2> const& ratio = crop_ratio);

enum class BlurKind : std::uint8_t { pillow, gaussian };
constexpr int gaussian_taps = 9;  // method.md 5.1 (v2, v3)

/// Jitter and greyscale that were drawn for a crop, or for a whole image.
struct Colours {
  std::optional<ColorJitter> jitter = std::nullopt;
  bool gray = false;
};

/// Everything that was drawn for one crop of one image.
struct DrawnView {
  CropBox box;
  Flip flip = Flip::no;
  std::optional<ColorJitter> jitter = std::nullopt;
  bool gray = false;
  std::optional<double> blur_radius = std::nullopt;  ///< or sigma; pixels
  BlurKind blur = BlurKind::pillow;
  bool solarize = false;
};

/// The draws of crop `crop` (0 and 1: the global ones) of the sample at a global position: a pure
/// function of (seed, position, crop) and of the extents of the image. No colours where all crops
/// share them. Source: method.md 5.1.
DrawnView draw_view(config::Crops const& crops, std::uint64_t seed, std::int64_t position, int crop,
                    Extents image);

/// Colours of the whole image (crops.share_color_jitter), a pure function of (seed, position).
/// Source: method.md 5.2.
Colours draw_shared_colours(config::Crops const& crops, std::uint64_t seed, std::int64_t position);

/// Where a local crop lies in a global one, pixels.
struct WindowPlace {
  int top = 0, left = 0;
};
/// A place on the patch grid for local crop `crop` (>= 2) of side `local` in a global crop of side
/// `global`, at least one patch larger: a pure function of (seed, position, crop). Like the
/// published code it never takes the last place of an axis. Source: method.md 5.2, 12.23.
WindowPlace draw_window(std::uint64_t seed, std::int64_t position, int crop, std::int64_t global,
                        std::int64_t local, std::int64_t patch_size);

}  // namespace dino
