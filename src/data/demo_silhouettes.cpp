// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <initializer_list>

#include "data/demo_shapes.hpp"

namespace dino {
namespace {

constexpr float pi = 3.14159265F;

float ellipse(Point p, Point centre, Point radii) {
  Point const d = p - centre;
  float const k = length({d.x / radii.x, d.y / radii.y});
  float const gradient = length({d.x / (radii.x * radii.x), d.y / (radii.y * radii.y)});
  return k * (k - 1) / std::max(gradient, 1e-6F);
}

/// A convex polygon, corners clockwise on the screen; too small a distance beyond a corner.
float convex(Point p, std::initializer_list<Point> corners) {
  float distance = -1e9F;
  Point from = *(corners.end() - 1);
  for (Point const to : corners) {
    Point const edge = to - from;
    distance = std::max(distance, dot(p - from, {edge.y, -edge.x}) / length(edge));
    from = to;
  }
  return distance;
}

float capsule(Point p, Point from, Point to, float radius) {
  Point const axis = to - from;
  float const t = std::clamp(dot(p - from, axis) / dot(axis, axis), 0.0F, 1.0F);
  return length(p - from - t * axis) - radius;
}

Silhouette bird(Point p) {
  float const body = ellipse(p, {-0.05F, 0.15F}, {0.62F, 0.42F});
  float const head = disc(p, {0.5F, -0.38F}, 0.3F);
  float const neck = capsule(p, {0.3F, 0.0F}, {0.48F, -0.35F}, 0.22F);
  float const tail = convex(p, {{-0.5F, -0.05F}, {-0.4F, 0.3F}, {-1.0F, 0.25F}, {-1.0F, -0.2F}});
  float const wing = convex(p, {{-0.35F, -0.75F}, {0.25F, 0.0F}, {-0.35F, 0.05F}});
  float const beak = convex(p, {{0.74F, -0.5F}, {1.05F, -0.33F}, {0.74F, -0.24F}});
  float const eye = disc(p, {0.56F, -0.45F}, 0.07F);
  float const legs = std::min(capsule(p, {-0.15F, 0.5F}, {-0.15F, 0.9F}, 0.05F),
                              capsule(p, {0.15F, 0.5F}, {0.15F, 0.9F}, 0.05F));
  return {std::min({body, head, neck, tail, wing}), std::min({beak, eye, legs})};
}

Silhouette boat(Point p) {
  float const hull = convex(p, {{-1.0F, 0.3F}, {1.0F, 0.3F}, {0.62F, 0.85F}, {-0.62F, 0.85F}});
  float const main_sail = convex(p, {{0.06F, -0.95F}, {0.85F, 0.15F}, {0.06F, 0.15F}});
  float const jib = convex(p, {{-0.1F, -0.75F}, {-0.1F, 0.15F}, {-0.7F, 0.15F}});
  float const mast = box(p, {-0.02F, -0.3F}, {0.05F, 0.65F});
  return {std::min({hull, main_sail, jib}), mast};
}

Silhouette car(Point p) {
  float const body = box(p, {0.0F, 0.2F}, {0.85F, 0.14F}) - 0.13F;
  float const cabin =
      convex(p, {{-0.4F, -0.5F}, {0.3F, -0.5F}, {0.62F, 0.15F}, {-0.68F, 0.15F}}) - 0.03F;
  float const wheels = std::min(disc(p, {-0.5F, 0.45F}, 0.24F), disc(p, {0.52F, 0.45F}, 0.24F));
  float const window =
      convex(p, {{-0.3F, -0.36F}, {0.22F, -0.36F}, {0.38F, -0.04F}, {-0.42F, -0.04F}});
  return {std::min(body, cabin), std::min(wheels, window)};
}

Silhouette cup(Point p) {
  float const bowl = convex(p, {{-0.85F, -0.6F}, {0.45F, -0.6F}, {0.3F, 0.65F}, {-0.7F, 0.65F}});
  float const handle = std::abs(disc(p, {0.48F, -0.02F}, 0.36F)) - 0.11F;
  float const saucer = box(p, {-0.2F, 0.75F}, {0.75F, 0.06F}) - 0.03F;
  return {std::min(bowl, handle), saucer};
}

Silhouette fish(Point p) {
  float const body = ellipse(p, {0.2F, 0.0F}, {0.78F, 0.5F});
  float const tail = convex(p, {{-1.0F, -0.5F}, {-0.3F, 0.0F}, {-1.0F, 0.5F}});
  float const fin = convex(p, {{-0.1F, -0.75F}, {0.4F, -0.4F}, {-0.2F, -0.35F}});
  float const notch = disc(p, {-1.1F, 0.0F}, 0.28F);
  return {std::min({body, std::max(tail, -notch), fin}), disc(p, {0.65F, -0.12F}, 0.1F)};
}

Silhouette flower(Point p) {
  float const r = length(p);
  float const petals = r - 0.72F - 0.24F * std::cos(6 * std::atan2(p.y, p.x));
  return {0.6F * petals, r - 0.25F};
}

Silhouette heart(Point p) {
  Point const q{std::abs(p.x), p.y};
  float const lobe = disc(q, {0.44F, -0.32F}, 0.5F);
  float const tip = convex(q, {{-0.8F, -0.6F}, {0.44F, -0.32F}, {0.86F, -0.02F}, {0.0F, 0.95F}});
  return {std::min(lobe, tip), 1.0F};
}

Silhouette house(Point p) {
  float const walls = box(p, {0.0F, 0.35F}, {0.7F, 0.55F});
  float const roof = convex(p, {{0.0F, -0.95F}, {0.98F, -0.15F}, {-0.98F, -0.15F}});
  float const chimney = box(p, {0.5F, -0.65F}, {0.12F, 0.28F});
  float const door = box(p, {0.3F, 0.6F}, {0.16F, 0.3F});
  float const window = box(p, {-0.3F, 0.3F}, {0.18F, 0.18F});
  return {std::min({walls, roof, chimney}), std::min(door, window)};
}

Silhouette moon(Point p) {
  return {std::max(disc(p, {0.1F, 0.0F}, 0.98F), -disc(p, {0.62F, -0.12F}, 0.72F)), 1.0F};
}

Silhouette mushroom(Point p) {
  float const cap = std::max(ellipse(p, {0.0F, 0.05F}, {0.98F, 0.95F}), p.y - 0.1F);
  float const stem = box(p, {0.0F, 0.5F}, {0.2F, 0.38F}) - 0.06F;
  return {cap, std::max(stem, -cap)};
}

/// Source: the folded form of Inigo Quilez, "2D distance functions" (star).
Silhouette star(Point p) {
  constexpr float half = pi / 5;
  constexpr float edge = pi / 3.2F;
  float const a = std::atan2(p.x, -p.y) + 2 * pi;
  float const folded = a - 2 * half * std::floor(a / (2 * half)) - half;
  Point q = length(p) * Point{std::cos(folded), std::abs(std::sin(folded))};
  Point const along{std::cos(edge), std::sin(edge)};
  q = q - Point{std::cos(half), std::sin(half)};
  q = q + std::clamp(-dot(q, along), 0.0F, std::sin(half) / along.y) * along;
  return {std::copysign(length(q), q.x), 1.0F};
}

Silhouette tree(Point p) {
  float const top = convex(p, {{0.0F, -1.0F}, {0.5F, -0.3F}, {-0.5F, -0.3F}});
  float const middle = convex(p, {{0.0F, -0.7F}, {0.68F, 0.15F}, {-0.68F, 0.15F}});
  float const bottom = convex(p, {{0.0F, -0.35F}, {0.88F, 0.6F}, {-0.88F, 0.6F}});
  float const trunk = box(p, {0.0F, 0.78F}, {0.15F, 0.2F});
  float const crown = std::min({top, middle, bottom});
  return {crown, std::max(trunk, -crown)};
}

using Outline = Silhouette (*)(Point);
constexpr std::array<Outline, demo_class_names.size()> outlines{
    bird, boat, car, cup, fish, flower, heart, house, moon, mushroom, star, tree};

}  // namespace

float disc(Point p, Point centre, float radius) {
  return length(p - centre) - radius;
}

float box(Point p, Point centre, Point half_sides) {
  Point const d{std::abs(p.x - centre.x) - half_sides.x, std::abs(p.y - centre.y) - half_sides.y};
  return length({std::max(d.x, 0.0F), std::max(d.y, 0.0F)}) + std::min(std::max(d.x, d.y), 0.0F);
}

Silhouette demo_silhouette(int label, Point p) {
  return outlines[static_cast<std::size_t>(label)](p);
}

}  // namespace dino
