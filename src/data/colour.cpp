// SPDX-License-Identifier: Apache-2.0
// Compiled with -ffp-contract=off: fused multiply-adds would change bytes.
#include "data/colour.hpp"

#include <algorithm>

#include "kernels/pixels.hpp"

namespace dino {
namespace {

using Byte = std::uint8_t;
using pixel::blend, pixel::luma;

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
  return pixel::mean_gray(sum, x.size());
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
  int const shift = pixel::hue_shift(factor);
  auto const n = x.size();
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    auto hsv = pixel::to_hsv(r[i], g[i], b[i]);
    hsv.h = (hsv.h + shift) & 255;
    auto const rgb = pixel::to_rgb(hsv);
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

std::vector<float> Normalization::values() const {
  std::vector<float> all;
  for (auto const* const tables : {&table_, &solarized_})
    for (auto const& channel : *tables) all.insert(all.end(), channel.begin(), channel.end());
  return all;
}

}  // namespace dino
