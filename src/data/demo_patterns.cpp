// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "data/demo_shapes.hpp"

namespace dino {
namespace {

constexpr float pi = 3.14159265F;

float fraction(float x) {
  return x - std::floor(x);
}
/// Negative in the middle half of each period.
float bands(float x) {
  return std::abs(fraction(x) - 0.5F) - 0.25F;
}
/// Distance from the nearest multiple of 1.
float to_line(float x) {
  return std::abs(x - std::round(x));
}
/// The point as seen from the middle of its cell; every second row is shifted by half a cell.
Point in_shifted_cell(Point q) {
  float const row = std::floor(q.y);
  float const shift = 0.5F * fraction(0.5F * row) * 2;
  return {fraction(q.x + shift) - 0.5F, fraction(q.y) - 0.5F};
}

float zigzag(Point q) {
  return 0.7F * bands(q.y + std::abs(2 * fraction(0.8F * q.x) - 1));
}

float stripes(Point q) {
  return bands(q.x);
}

float checks(Point q) {
  float const a = bands(0.8F * q.x);
  float const b = bands(0.8F * q.y);
  return std::copysign(std::min(std::abs(a), std::abs(b)), -a * b);
}

float waves(Point q) {
  return 0.7F * bands(q.y + 0.3F * std::sin(0.7F * 2 * pi * q.x));
}

/// Rows of discs, each row over the one below it.
float scales(Point q) {
  constexpr float radius = 0.62F;
  constexpr float step = 0.5F;
  float const lowest = std::floor(q.y / step) + 2;
  for (float row = lowest; row > lowest - 4; --row) {
    float const shift = fraction(0.5F * row);
    float const r = length({fraction(q.x + shift) - 0.5F, q.y - row * step});
    if (r < radius) return radius - r - 0.17F;
  }
  return -0.1F;
}

float crosses(Point q) {
  Point const p = in_shifted_cell(q);
  float const x = std::abs(p.x);
  float const y = std::abs(p.y);
  return std::min(std::max(x - 0.38F, y - 0.13F), std::max(x - 0.13F, y - 0.38F));
}

float rings(Point q) {
  return std::abs(length(in_shifted_cell(q)) - 0.3F) - 0.1F;
}

float bricks(Point q) {
  float const row = std::floor(1.4F * q.y);
  float const joint = to_line(0.7F * q.x + 0.5F * row) / 0.7F;
  return std::min(joint, to_line(1.4F * q.y) / 1.4F) - 0.09F;
}

/// The borders of Voronoi cells.
float cells(Point q) {
  int const x = static_cast<int>(std::floor(q.x));
  int const y = static_cast<int>(std::floor(q.y));
  float first = 8;
  float second = 8;
  for (int j = y - 1; j <= y + 1; ++j) {
    for (int i = x - 1; i <= x + 1; ++i) {
      Point const seed{static_cast<float>(i) + 0.1F + 0.8F * cell_hash(i, j, 1),
                       static_cast<float>(j) + 0.1F + 0.8F * cell_hash(i, j, 2)};
      float const r = length(q - seed);
      second = std::min(second, std::max(first, r));
      first = std::min(first, r);
    }
  }
  return 0.5F * (second - first) - 0.08F;
}

float dots(Point q) {
  return length(in_shifted_cell(q)) - 0.31F;
}

float triangles(Point q) {
  float const skewed = q.y * 1.1547F;
  float const u = fraction(q.x - 0.5F * skewed);
  float const v = fraction(skewed);
  if (u + v < 1) return -0.87F * std::min({u, v, 1 - u - v});
  return 0.87F * std::min({1 - u, 1 - v, u + v - 1});
}

float grid(Point q) {
  return std::min(to_line(q.x), to_line(q.y)) - 0.13F;
}

using Pattern = float (*)(Point);
constexpr std::array<Pattern, demo_class_names.size()> patterns{
    zigzag,     // bird
    stripes,    // boat
    checks,     // car
    waves,      // cup
    scales,     // fish
    crosses,    // flower
    rings,      // heart
    bricks,     // house
    cells,      // moon
    dots,       // mushroom
    triangles,  // star
    grid,       // tree
};

}  // namespace

float cell_hash(int x, int y, std::uint32_t salt) {
  std::uint32_t h = static_cast<std::uint32_t>(x) * 0x8DA6B343U ^
                    static_cast<std::uint32_t>(y) * 0xD8163841U ^ salt;
  h = (h ^ (h >> 15)) * 0x2C1B3C6DU;
  h = (h ^ (h >> 12)) * 0x297A2D39U;
  return static_cast<float>((h ^ (h >> 15)) >> 8) * 0x1.0p-24F;
}

float demo_pattern(int label, Point q) {
  return patterns[static_cast<std::size_t>(label)](q);
}

}  // namespace dino
