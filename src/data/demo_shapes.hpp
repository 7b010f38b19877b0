// SPDX-License-Identifier: Apache-2.0
// The twelve kinds of object of the demo world: a silhouette and a family of patterns each.
#pragma once
#include <array>
#include <cmath>
#include <cstdint>

namespace dino {

struct Point {
  float x = 0, y = 0;
};
constexpr Point operator+(Point a, Point b) {
  return {a.x + b.x, a.y + b.y};
}
constexpr Point operator-(Point a, Point b) {
  return {a.x - b.x, a.y - b.y};
}
constexpr Point operator*(float s, Point a) {
  return {s * a.x, s * a.y};
}
constexpr float dot(Point a, Point b) {
  return a.x * b.x + a.y * b.y;
}
inline float length(Point a) {
  return std::sqrt(dot(a, a));
}

/// By label.
inline constexpr std::array<char const*, 12> demo_class_names{"bird", "boat",     "car",   "cup",
                                                              "fish", "flower",   "heart", "house",
                                                              "moon", "mushroom", "star",  "tree"};
inline constexpr int demo_classes = static_cast<int>(demo_class_names.size());

/// Distances to the outlines of an object's parts, negative inside, about right near the outline.
struct Silhouette {
  float body = 1;    ///< the part with the pattern
  float accent = 1;  ///< the part of one colour: eye, wheels, trunk
};

/// \param p  object coordinates, y down; the object fills about [-1, 1] x [-1, 1]
Silhouette demo_silhouette(int label, Point p);

/// Distance to the edge between the two colours of a class's pattern, in periods.
/// \param q  pattern coordinates, in periods
float demo_pattern(int label, Point q);

/// Uniform in [0, 1), a function of the cell of a lattice and of `salt`.
float cell_hash(int x, int y, std::uint32_t salt);

// Outlines that backgrounds use too.
float disc(Point p, Point centre, float radius);
float box(Point p, Point centre, Point half_sides);

}  // namespace dino
