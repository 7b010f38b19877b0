// SPDX-License-Identifier: Apache-2.0
// Crops of decoded pictures: cut and resized, changed in colour, blurred, normalised; bit for bit
// as Pillow and torchvision do (pixels.hpp). One operation serves many crops of different sizes:
// each has a job in a list, whose places count from the beginning of the operation's memory.
#pragma once
#include <cstdint>

#include "kernels/pixels.hpp"
#include "kernels/space.hpp"

namespace dino {

/// Where the pixels of an 8-bit RGB picture lie: interleaved, [height, width, 3], or as planes,
/// [3, height, width].
struct PictureLayout {
  std::int64_t begin = 0;
  std::int32_t height = 0, width = 0;
  std::int64_t pixel = 1, channel = 0;  ///< bytes from a pixel, a channel to the next

  static PictureLayout interleaved(std::int64_t begin, std::int32_t height, std::int32_t width) {
    return {begin, height, width, 3, 1};
  }
  static PictureLayout planes(std::int64_t begin, std::int32_t height, std::int32_t width) {
    return {begin, height, width, 1, std::int64_t{height} * width};
  }
  DINO_ANYWHERE std::int64_t pixels() const { return std::int64_t{height} * width; }
  DINO_ANYWHERE std::int64_t at(int c, std::int64_t y, std::int64_t x) const {
    return begin + c * channel + (y * width + x) * pixel;
  }
};

/// One axis of an antialiased bicubic resize, and where its weights are: for each output the first
/// of its inputs, their number, and room for `taps` weights in fixed point.
struct ResizeAxis {
  std::int32_t in = 0, out = 0, taps = 0;
  std::int64_t begin = 0;

  ResizeAxis() = default;
  ResizeAxis(int n_in, int n_out, std::int64_t place)
      : in(n_in), out(n_out), taps(pixel::most_taps(n_in, n_out, 2.0)), begin(place) {}
  DINO_ANYWHERE std::int64_t entry(int output) const {
    return begin + std::int64_t{output} * (taps + 2);
  }
  std::int64_t size() const { return entry(out) - begin; }  ///< of the weights and their inputs
};

/// A part of a picture, resized, mirrored or not, as planes.
struct PictureResize {
  PictureLayout source;
  std::int32_t top = 0, left = 0;  ///< of the part, rows.in x columns.in
  ResizeAxis rows, columns;
  std::int32_t mirrored = 0;
  std::int64_t out = 0;  ///< planes of rows.out x columns.out
};

/// The weights of all axes. Source: method.md 5.6.
struct ResizeWeights {
  View<PictureResize const, 1> resizes;
  std::int32_t longest = 0;  ///< axis, outputs, of all
  View<std::int32_t, 1> weights;
  void check() const;
};

/// The resized pictures: along the rows, rounded to 8 bits, then along the columns.
/// Source: method.md 5.6.
struct ResizePictures {
  View<std::uint8_t const, 1> pictures;
  View<std::int32_t const, 1> weights;
  View<PictureResize const, 1> resizes;
  std::int32_t longest = 0;   ///< side of a resized picture, of all
  View<std::uint8_t, 1> out;  ///< no part of `pictures` that is read
  void check() const;
};

enum class ColourStep : std::int32_t { brightness, contrast, saturation, hue };

/// What changes the colours of a picture.
struct ColourChange {
  PictureLayout picture;
  std::int32_t jittered = 0;  ///< whether the four steps are done
  ColourStep order[4] = {ColourStep::brightness, ColourStep::contrast, ColourStep::saturation,
                         ColourStep::hue};
  float brightness = 1, contrast = 1, saturation = 1;
  std::int32_t hue = 0;   ///< see pixel::hue_shift
  std::int32_t gray = 0;  ///< whether it becomes grey after that
};

/// Colours changed in place. Source: method.md 5.4.
struct ChangeColours {
  View<ColourChange const, 1> changes;
  View<std::uint8_t, 1> pictures;
  void check() const;
};

/// A picture of planes and its box blur.
struct PictureBoxBlur {
  PictureLayout picture;
  pixel::Box box;
};

/// Pillow's GaussianBlur in place: three box blurs along the rows, three along the columns.
/// Source: method.md 5.5.
struct BoxBlurPictures {
  View<PictureBoxBlur const, 1> blurs;
  std::int32_t longest = 0;  ///< side, of all; at most longest_blurred
  View<std::uint8_t, 1> pictures;
  void check() const;
};

/// A picture of planes, both sides more than 4, and where the blurred one goes.
struct PictureGaussianBlur {
  static constexpr int taps = 9;
  PictureLayout picture;
  float weights[taps] = {};
  std::int64_t out = 0;
};

/// torchvision's Gaussian blur. Source: method.md 5.5.
struct GaussianBlurPictures {
  View<PictureGaussianBlur const, 1> blurs;
  std::int32_t longest = 0;        ///< side, of all; at most longest_blurred
  View<std::uint8_t, 1> pictures;  ///< blurred ones take no part that is read
  void check() const;
};
constexpr std::int32_t longest_blurred = 8192;

/// A square window of a picture of planes, and where its normalised values go, [3, side, side].
struct CropWindow {
  PictureLayout picture;
  std::int32_t top = 0, left = 0, side = 0;
  std::int32_t solarized = 0;
  std::int64_t out = 0;
};

/// Normalised values, of the picture or of the solarised one. Source: method.md 5.1, step 7.
struct NormalizeCrops {
  View<std::uint8_t const, 1> pictures;
  View<CropWindow const, 1> windows;
  std::int32_t longest = 0;     ///< side, of all
  View<float const, 3> values;  ///< [2, 3, 256]: of plain and solarised bytes of each channel
  View<float, 1> crops;
  void check() const;
};

/// Normalised values of n_in x n_in, resized to n_out x n_out.
struct CropResize {
  std::int32_t n_in = 0, n_out = 0;
  std::int64_t in = 0, out = 0;  ///< [3, n, n]
};

/// Antialiased bicubic resizes of crops, sums in float64. Source: method.md 5.2, 5.6.
struct ResizeCrops {
  View<CropResize const, 1> resizes;
  std::int32_t longest = 0;  ///< resized side, of all
  View<float, 1> crops;      ///< read and written in different parts
  void check() const;
};

void execute(Host const& host, ResizeWeights const& op);
void execute(Host const& host, ResizePictures const& op);
void execute(Host const& host, ChangeColours const& op);
void execute(Host const& host, BoxBlurPictures const& op);
void execute(Host const& host, GaussianBlurPictures const& op);
void execute(Host const& host, NormalizeCrops const& op);
void execute(Host const& host, ResizeCrops const& op);
void execute(Cuda const& cuda, ResizeWeights const& op);
void execute(Cuda const& cuda, ResizePictures const& op);
void execute(Cuda const& cuda, ChangeColours const& op);
void execute(Cuda const& cuda, BoxBlurPictures const& op);
void execute(Cuda const& cuda, GaussianBlurPictures const& op);
void execute(Cuda const& cuda, NormalizeCrops const& op);
void execute(Cuda const& cuda, ResizeCrops const& op);

}  // namespace dino
