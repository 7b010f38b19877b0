// SPDX-License-Identifier: Apache-2.0
// Arithmetic of 8-bit pictures, bit for bit Pillow's, for loops of the host and kernels of a device
// alike. Every product and sum is rounded by itself: compile with -ffp-contract=off, or
// --fmad=false.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

/// Of functions that are compiled where they are called, with the options of that file.
#ifdef __CUDACC__
#define DINO_ANYWHERE __host__ __device__ __forceinline__
#else
#define DINO_ANYWHERE [[gnu::always_inline]] inline
#endif

namespace dino::pixel {

/// Grey of a colour.
DINO_ANYWHERE int luma(int r, int g, int b) {
  return (19595 * r + 38470 * g + 7471 * b + 32768) >> 16;
}

/// base + factor * (x - base), clipped to 8 bits and truncated. Clipping changes nothing for a
/// factor in [0, 1], where the result lies between base and x.
DINO_ANYWHERE std::uint8_t blend(float base, float x, float factor) {
  float const product = factor * (x - base);
  float const value = base + product;
  return static_cast<std::uint8_t>(std::clamp(static_cast<int>(value), 0, 255));
}

/// The mean grey of a picture, rounded half up.
DINO_ANYWHERE int mean_gray(std::int64_t sum, std::int64_t pixels) {
  return static_cast<int>(static_cast<double>(sum) / static_cast<double>(pixels) + 0.5);
}

/// Hue, saturation and value of a pixel: V the largest channel, S = trunc(255 * range / largest), H
/// = trunc(255 * angle). Which quotients and sums are float32 and which double decides bytes. Of
/// the two quotients (largest - channel) / range whose difference is the angle, the smallest
/// channel's is 1, so one division serves; grey pixels get S = 0, which makes their H irrelevant.
/// Source: method.md 5.4.
struct Hsv {
  int h, s, v;
};
DINO_ANYWHERE Hsv to_hsv(int r, int g, int b) {
  int const largest = std::max(r, std::max(g, b));
  int const smallest = std::min(r, std::min(g, b));
  int const middle = r + g + b - largest - smallest;
  int const range = largest - smallest;
  int const sector = r == largest ? 0 : (g == largest ? 2 : 4);
  int const follower = r == largest ? b : (g == largest ? r : g);
  double const sign = follower == smallest ? 1.0 : -1.0;
  float const quotient =
      static_cast<float>(largest - middle) / static_cast<float>(std::max(range, 1));
  auto const angle = static_cast<float>(sector + sign * (1.0 - static_cast<double>(quotient)));
  double const turns = static_cast<double>(angle) / 6.0;
  auto const fraction = static_cast<float>((turns + 1.0) - (turns >= 0.0 ? 1.0 : 0.0));
  float const share = static_cast<float>(range) / static_cast<float>(std::max(largest, 1));
  return {static_cast<int>(255.0F * fraction), static_cast<int>(255.0F * share), largest};
}

/// Position within [0, 1] on a ramp.
DINO_ANYWHERE float ramp(float x) {
  return std::min(std::max(x, 0.0F), 1.0F);
}

/// The inverse: a channel is V (1 - S w), where w follows the hue along ramps between 0 and 1. All
/// 2^24 inputs give the bytes of the formula by sectors in double precision.
struct Rgb {
  int r, g, b;
};
DINO_ANYWHERE Rgb to_rgb(Hsv const& c) {
  float const turns6 = static_cast<float>(c.h) * 6.0F / 255.0F;
  float const s = static_cast<float>(c.s) / 255.0F;
  auto const v = static_cast<float>(c.v);
  auto const channel = [&](float w) { return static_cast<int>(v * (1.0F - s * w) + 0.5F); };
  return {channel(ramp(2.0F - std::abs(turns6 - 3.0F))),
          channel(ramp(std::abs(turns6 - 2.0F) - 1.0F)),
          channel(ramp(std::abs(turns6 - 4.0F) - 1.0F))};
}

/// A shift of the hue in steps of its 8 bits. \param turns  in [-0.5, 0.5]
DINO_ANYWHERE int hue_shift(double turns) {
  return static_cast<int>(turns * 255) & 255;
}

/// One box blur: 2 * radius + 1 inputs of weight `inner` and one of weight `edge` at either end, in
/// fixed point with 24 bits. The weights sum to at most 2^24, so a sum of bytes fits 32 unsigned
/// bits.
struct Box {
  std::int32_t radius = 0;
  std::uint32_t inner = 0, edge = 0;
};
/// The box whose threefold application has the variance radius^2. Source: method.md 5.5.
DINO_ANYWHERE Box box_of(double radius) {
  double const variance = radius * radius / 3;
  double const l = std::floor((std::sqrt(12 * variance + 1) - 1) / 2);
  double const a =
      (2 * l + 1) * (l * (l + 1) - 3 * variance) / (6 * (variance - (l + 1) * (l + 1)));
  auto const width = static_cast<float>(l + a);
  Box box;
  box.radius = static_cast<int>(width);
  float const quotient =
      16777216.0F / (2.0F * width + 1.0F);  // in float32: its rounding decides ties
  box.inner = static_cast<std::uint32_t>(quotient);
  box.edge = ((1U << 24) - static_cast<std::uint32_t>(2 * box.radius + 1) * box.inner) / 2;
  return box;
}
/// \param inner  the sum of the inner inputs
/// \param edge   the sum of both at the ends
DINO_ANYWHERE std::uint8_t boxed(Box const& box, std::uint32_t inner, std::uint32_t edge) {
  return static_cast<std::uint8_t>((box.inner * inner + box.edge * edge + (1U << 23)) >> 24);
}

/// Index of the pixel that stands at `i` when the edge is reflected without being repeated.
DINO_ANYWHERE int reflected(int i, int n) {
  return i < 0 ? -i : (i >= n ? 2 * (n - 1) - i : i);
}

/// A float as the nearest byte, halves to even.
DINO_ANYWHERE std::uint8_t nearest_byte(float x) {
  return static_cast<std::uint8_t>(std::clamp(std::nearbyint(x), 0.0F, 255.0F));
}

/// Keys' cubic kernel with a = -0.5 at x >= 0, support 2.
DINO_ANYWHERE double bicubic_kernel(double x) {
  double const near = (1.5 * x - 2.5) * x * x + 1.0;
  double const far = (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5;
  return x < 1.0 ? near : (x < 2.0 ? far : 0.0);
}
/// The triangle kernel at x >= 0, support 1.
DINO_ANYWHERE double bilinear_kernel(double x) {
  return x < 1.0 ? 1.0 - x : 0.0;
}

/// The inputs that an output of an antialiased resize along one axis is the weighted mean of.
/// Source: method.md 5.6 (Pillow's resampling).
struct Taps {
  int first = 0, count = 0;
  double offset = 0;  ///< of the first input from the centre
  double scale = 1;   ///< outputs per input, at most 1
  /// Where the kernel is taken for the k-th of them.
  DINO_ANYWHERE double place(int k) const { return std::abs((k + offset) * scale); }
};
/// \param support  of the kernel: 2 for bicubic, 1 for bilinear
DINO_ANYWHERE Taps taps_of(int n_in, int n_out, int output, double support) {
  double const ratio = static_cast<double>(n_in) / n_out;
  double const filter_scale = ratio > 1.0 ? ratio : 1.0;
  double const reach = support * filter_scale;
  double const center = (output + 0.5) * ratio;
  double const begin = center - reach + 0.5, end = center + reach + 0.5;
  int const first = begin < 0.0 ? 0 : static_cast<int>(begin);
  int const last = std::min(n_in, static_cast<int>(end));
  return {first, last - first, first - center + 0.5, 1.0 / filter_scale};
}
/// Most taps of any output.
DINO_ANYWHERE std::int32_t most_taps(int n_in, int n_out, double support) {
  double const ratio = static_cast<double>(n_in) / n_out;
  return static_cast<std::int32_t>(std::ceil(support * (ratio > 1.0 ? ratio : 1.0))) * 2 + 1;
}

constexpr int fraction_bits = 22;  // method.md 5.6
/// A weight in fixed point, rounded half away from zero.
DINO_ANYWHERE std::int32_t fixed_weight(double weight) {
  return static_cast<std::int32_t>(weight * (1 << fraction_bits) + (weight < 0 ? -0.5 : 0.5));
}
constexpr std::int32_t fixed_half = 1 << (fraction_bits - 1);
/// A sum of bytes with such weights and fixed_half, as a byte.
DINO_ANYWHERE std::uint8_t fixed_byte(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> fraction_bits, 0, 255));
}

}  // namespace dino::pixel
