// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "data/colour.hpp"

namespace dino {
namespace {

using Pixel = std::array<int, 3>;

/// RGB to HSV as method.md 5.4 states it, case by case.
Pixel to_hsv(Pixel const& rgb) {
  auto const [r, g, b] = rgb;
  int const largest = std::max({r, g, b});
  int const smallest = std::min({r, g, b});
  if (largest == smallest) return {0, 0, largest};
  auto const range = static_cast<float>(largest - smallest);
  double const rc = static_cast<float>(largest - r) / range;
  double const gc = static_cast<float>(largest - g) / range;
  double const bc = static_cast<float>(largest - b) / range;
  auto h = static_cast<float>(r == largest ? bc - gc : (g == largest ? 2 + rc - bc : 4 + gc - rc));
  h = static_cast<float>(std::fmod(static_cast<double>(h) / 6 + 1, 1.0));
  float const s = range / static_cast<float>(largest);
  return {static_cast<int>(255.0F * h), static_cast<int>(255.0F * s), largest};
}

int byte(double v) {
  return static_cast<int>(std::clamp(std::floor(v + 0.5), 0.0, 255.0));
}

/// HSV to RGB by sectors in double precision.
Pixel to_rgb(Pixel const& hsv) {
  auto const [h, s, v] = hsv;
  if (s == 0) return {v, v, v};
  double const h6 = h * 6.0 / 255.0;
  int const sector = static_cast<int>(h6);
  double const phi = h6 - sector;
  double const share = s / 255.0;
  int const p = byte(v * (1 - share));
  int const q = byte(v * (1 - share * phi));
  int const t = byte(v * (1 - share * (1 - phi)));
  std::array<Pixel, 6> const sectors{
      {{v, t, p}, {q, v, p}, {p, v, t}, {p, q, v}, {t, p, v}, {v, p, q}}};
  return sectors[static_cast<std::size_t>(sector % 6)];
}

/// Compares a shift of every `stride`-th of the 2^24 colours with the formula.
void expect_formula(double factor, std::uint32_t stride) {
  auto const count = static_cast<int>((0x1000000U + stride - 1) / stride);
  Planes x(1, count);
  for (int i = 0; i < count; ++i) {
    std::uint32_t const colour = static_cast<std::uint32_t>(i) * stride;
    for (int c = 0; c < 3; ++c) x.plane(c)[i] = static_cast<std::uint8_t>(colour >> (8 * c));
  }
  Planes const before = x;

  hue(x, factor);

  int const shift = static_cast<int>(factor * 255);
  int wrong = 0;
  for (int i = 0; i < count; ++i) {
    auto hsv = to_hsv({before.plane(0)[i], before.plane(1)[i], before.plane(2)[i]});
    hsv[0] = (hsv[0] + shift + 256) % 256;
    auto const rgb = to_rgb(hsv);
    for (std::size_t c = 0; c < 3; ++c) wrong += x.plane(static_cast<int>(c))[i] != rgb[c] ? 1 : 0;
  }
  EXPECT_EQ(wrong, 0) << "of " << 3 * count << " bytes, factor " << factor;
}

TEST(Hue, OfAllColoursFollowsTheFormula) {
  expect_formula(0.0, 1);
}

TEST(Hue, ShiftsOfSampledColoursFollowTheFormula) {
  for (double const factor : {-0.5, -0.1, -0.0999, -0.01, 0.004, 0.05, 0.1, 0.31, 0.5})
    expect_formula(factor, 61);
}

}  // namespace
}  // namespace dino
