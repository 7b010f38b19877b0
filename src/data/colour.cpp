// SPDX-License-Identifier: Apache-2.0
// Compiled with -ffp-contract=off: fused multiply-adds would change bytes.
#include "data/colour.hpp"

#include <algorithm>
#include <cmath>

namespace dino {
namespace {

using Byte = std::uint8_t;

inline int luma(int r, int g, int b) {
  return (19595 * r + 38470 * g + 7471 * b + 32768) >> 16;
}

/// base + factor * (x - base), clipped to 8 bits and truncated. Clipping changes nothing for a
/// factor in [0, 1], where the result lies between base and x.
inline Byte blend(float base, float x, float factor) {
  float const product = factor * (x - base);
  float const value = base + product;
  return static_cast<Byte>(std::clamp(static_cast<int>(value), 0, 255));
}

void blend_with(Planes& x, float base, float factor) {
  Byte* __restrict values = x.values().data();
  auto const n = std::ssize(x.values());
  for (std::ptrdiff_t i = 0; i < n; ++i) values[i] = blend(base, values[i], factor);
}

/// The mean grey of the picture, rounded half up.
int mean_gray(Planes const& x) {
  Byte const* const r = x.plane(0);
  Byte const* const g = x.plane(1);
  Byte const* const b = x.plane(2);
  std::int64_t sum = 0;
  for (std::ptrdiff_t begin = 0; begin < x.size(); begin += 4096) {
    auto const end = std::min(begin + 4096, x.size());
    std::int32_t part = 0;
    for (std::ptrdiff_t i = begin; i < end; ++i) part += luma(r[i], g[i], b[i]);
    sum += part;
  }
  return static_cast<int>(static_cast<double>(sum) / static_cast<double>(x.size()) + 0.5);
}

/// Hue, saturation and value of a pixel: V the largest channel, S = trunc(255 * range / largest), H
/// = trunc(255 * angle). Which quotients and sums are float32 and which double decides bytes. Of
/// the two quotients (largest - channel) / range whose difference is the angle, the smallest
/// channel's is 1, so one division serves; grey pixels get S = 0, which makes their H irrelevant.
/// Source: method.md 5.4.
struct Hsv {
  int h, s, v;
};
inline Hsv to_hsv(int r, int g, int b) {
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
inline float ramp(float x) {
  return std::min(std::max(x, 0.0F), 1.0F);
}

struct Rgb {
  int r, g, b;
};
/// The inverse: a channel is V (1 - S w), where w follows the hue along ramps between 0 and 1. All
/// 2^24 inputs give the bytes of the formula by sectors in double precision.
inline Rgb to_rgb(Hsv const& c) {
  float const turns6 = static_cast<float>(c.h) * 6.0F / 255.0F;
  float const s = static_cast<float>(c.s) / 255.0F;
  auto const v = static_cast<float>(c.v);
  auto const channel = [&](float w) { return static_cast<int>(v * (1.0F - s * w) + 0.5F); };
  return {channel(ramp(2.0F - std::abs(turns6 - 3.0F))),
          channel(ramp(std::abs(turns6 - 2.0F) - 1.0F)),
          channel(ramp(std::abs(turns6 - 4.0F) - 1.0F))};
}

std::array<float, 256> normalized_values(double mean, double std) {
  std::array<float, 256> out{};
  for (int v = 0; v < 256; ++v) {
    float const unit = static_cast<float>(v) / 255.0F;
    out[static_cast<std::size_t>(v)] = (unit - static_cast<float>(mean)) / static_cast<float>(std);
  }
  return out;
}

void look_up(Planes const& x, std::array<std::array<float, 256>, 3> const& table, float* out) {
  auto const n = x.size();
  for (int c = 0; c < 3; ++c) {
    Byte const* const in = x.plane(c);
    float const* const values = table[static_cast<std::size_t>(c)].data();
    for (std::ptrdiff_t i = 0; i < n; ++i) out[c * n + i] = values[in[i]];
  }
}

}  // namespace

void brightness(Planes& x, double factor) {
  blend_with(x, 0.0F, static_cast<float>(factor));
}

void contrast(Planes& x, double factor) {
  blend_with(x, static_cast<float>(mean_gray(x)), static_cast<float>(factor));
}

void saturation(Planes& x, double factor) {
  Byte* __restrict r = x.plane(0);
  Byte* __restrict g = x.plane(1);
  Byte* __restrict b = x.plane(2);
  auto const f = static_cast<float>(factor);
  auto const n = x.size();  // a copy: stores of bytes may alias the members of x
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    auto const gray = static_cast<float>(luma(r[i], g[i], b[i]));
    r[i] = blend(gray, r[i], f);
    g[i] = blend(gray, g[i], f);
    b[i] = blend(gray, b[i], f);
  }
}

void hue(Planes& x, double factor) {
  Byte* __restrict r = x.plane(0);
  Byte* __restrict g = x.plane(1);
  Byte* __restrict b = x.plane(2);
  int const shift = static_cast<int>(factor * 255) & 255;
  auto const n = x.size();
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    Hsv hsv = to_hsv(r[i], g[i], b[i]);
    hsv.h = (hsv.h + shift) & 255;
    Rgb const rgb = to_rgb(hsv);
    r[i] = static_cast<Byte>(rgb.r);
    g[i] = static_cast<Byte>(rgb.g);
    b[i] = static_cast<Byte>(rgb.b);
  }
}

void grayscale(Planes& x) {
  Byte* __restrict r = x.plane(0);
  Byte* __restrict g = x.plane(1);
  Byte* __restrict b = x.plane(2);
  auto const n = x.size();
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    auto const gray = static_cast<Byte>(luma(r[i], g[i], b[i]));
    r[i] = gray;
    g[i] = gray;
    b[i] = gray;
  }
}

void solarize(Planes& x, int threshold) {
  for (Byte& value : x.values()) value = static_cast<Byte>(value < threshold ? value : 255 - value);
}

double ColorJitter::factor(JitterStep step) const {
  switch (step) {
    case JitterStep::brightness:
      return brightness;
    case JitterStep::contrast:
      return contrast;
    case JitterStep::saturation:
      return saturation;
    default:
      return hue;
  }
}

void color_jitter(Planes& x, JitterStep step, double factor) {
  switch (step) {
    case JitterStep::brightness:
      return brightness(x, factor);
    case JitterStep::contrast:
      return contrast(x, factor);
    case JitterStep::saturation:
      return saturation(x, factor);
    case JitterStep::hue:
      return hue(x, factor);
  }
}

void color_jitter(Planes& x, ColorJitter const& jitter) {
  for (JitterStep const step : jitter.order) color_jitter(x, step, jitter.factor(step));
}

Normalization::Normalization(std::array<double, 3> const& mean, std::array<double, 3> const& std) {
  for (std::size_t c = 0; c < 3; ++c) {
    table_[c] = normalized_values(mean[c], std[c]);
    for (std::size_t v = 0; v < 256; ++v) solarized_[c][v] = table_[c][v < 128 ? v : 255 - v];
  }
}

void Normalization::apply(Planes const& x, float* out) const {
  look_up(x, table_, out);
}

void Normalization::apply_solarized(Planes const& x, float* out) const {
  look_up(x, solarized_, out);
}

}  // namespace dino
