// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "data/planes.hpp"

namespace dino {

/// The colour operations, in place, bit for bit as Pillow's. Factors are dimensionless, 1 changes
/// nothing. Source: method.md 5.4.
void brightness(Planes& x, double factor);
void contrast(Planes& x, double factor);    ///< about the mean grey of the picture
void saturation(Planes& x, double factor);  ///< about the grey of each pixel
void hue(Planes& x, double factor);         ///< shift in turns, in [-0.5, 0.5]
void grayscale(Planes& x);
void solarize(Planes& x, int threshold);  ///< inverts values from `threshold` up

enum class JitterStep : std::uint8_t { brightness, contrast, saturation, hue };

/// The four operations in a given order.
struct ColorJitter {
  std::array<JitterStep, 4> order{JitterStep::brightness, JitterStep::contrast,
                                  JitterStep::saturation, JitterStep::hue};
  double brightness = 1, contrast = 1, saturation = 1, hue = 0;
  double factor(JitterStep step) const;
};
void color_jitter(Planes& x, JitterStep step, double factor);
void color_jitter(Planes& x, ColorJitter const& jitter);

/// float(v / 255 - mean) / std for each channel and value, every operation in float32.
/// Source: method.md 5.1, step 7.
class Normalization {
 public:
  Normalization(std::array<double, 3> const& mean, std::array<double, 3> const& std);
  /// out [3, height, width] = the normalised picture.
  void apply(Planes const& x, float* out) const;
  /// The same of the solarised picture (threshold 128): one step less over the pixels.
  void apply_solarized(Planes const& x, float* out) const;
  /// [2, 3, 256]: the value of each byte of each channel, and of the solarised one.
  std::vector<float> values() const;

 private:
  std::array<std::array<float, 256>, 3> table_{}, solarized_{};
};

}  // namespace dino
