// SPDX-License-Identifier: Apache-2.0
// Draws a demo scene pixel by pixel, the farthest thing first. Edges are softened over the width of
// a pixel by their distance, which costs one sample a pixel where supersampling costs several.
#include <algorithm>

#include "data/demo_scene.hpp"

namespace dino {
namespace {

struct Pixel {
  Colour colour;
  float metres = 0;
  int mask = 0;
};

Colour mix(Colour a, Colour b, float t) {
  return {a.r + t * (b.r - a.r), a.g + t * (b.g - a.g), a.b + t * (b.b - a.b)};
}
Colour scaled(Colour c, float s) {
  return {s * c.r, s * c.g, s * c.b};
}

/// Share of a pixel that lies inside an edge.
float coverage(float distance, float pixel) {
  return std::clamp(0.5F - distance / pixel, 0.0F, 1.0F);
}

/// Smooth noise in [-1, 1].
float value_noise(Point p, std::uint32_t salt) {
  float const x = std::floor(p.x);
  float const y = std::floor(p.y);
  auto const smooth = [](float t) { return t * t * (3 - 2 * t); };
  float const u = smooth(p.x - x);
  float const v = smooth(p.y - y);
  int const i = static_cast<int>(x);
  int const j = static_cast<int>(y);
  float const above = std::lerp(cell_hash(i, j, salt), cell_hash(i + 1, j, salt), u);
  float const below = std::lerp(cell_hash(i, j + 1, salt), cell_hash(i + 1, j + 1, salt), u);
  return 2 * std::lerp(above, below, v) - 1;
}

float patch_distance(DemoPatch const& patch, Point p) {
  Point const q = patch.turn.inverse(p - patch.centre);
  if (patch.round) return disc(q, {0, 0}, patch.half_sides.y);
  return box(q, {0, 0}, patch.half_sides);
}

/// Distance grows towards the horizon as on a plane seen in perspective.
void paint_wall_and_floor(DemoBackground const& b, Point p, Pixel& out) {
  if (p.y < b.horizon) {
    out.colour = mix(b.wall_top, b.wall_bottom, std::clamp(0.5F * (p.y + 1), 0.0F, 1.0F));
    out.metres = b.wall_metres + b.wall_slope * std::clamp(p.x, -1.5F, 1.5F);
    return;
  }
  float const t = std::clamp((p.y - b.horizon) / (1.1F - b.horizon), 0.0F, 1.0F);
  float const wall = b.wall_metres + b.wall_slope * std::clamp(p.x, -1.5F, 1.5F);
  out.metres = 1 / std::lerp(1 / wall, 1 / b.floor_metres, t);
  out.colour = mix(b.floor_far, b.floor_near, t);
}

Pixel background_at(DemoBackground const& b, Point p, float pixel) {
  Pixel out;
  paint_wall_and_floor(b, p, out);
  for (auto const& patch : b.clutter)
    out.colour = mix(out.colour, patch.colour, coverage(patch_distance(patch, p), pixel));
  Point const q = b.noise_cells * p;
  float const noise = value_noise(q, b.salt) + 0.5F * value_noise(2.3F * q, b.salt + 1);
  out.colour = scaled(out.colour, 1 + b.noise * noise);
  return out;
}

void paint_object(DemoObject const& object, Point p, float pixel, Pixel& out) {
  Point const offset = p - object.centre;
  if (dot(offset, offset) > 2.2F * object.size * object.size) return;
  Point q = (1 / object.size) * object.turn.inverse(offset);
  q = {q.x / object.stretch.x, q.y / object.stretch.y};
  float const own_pixel = pixel / object.size;
  auto const outline = demo_silhouette(object.label, q);
  float const distance = std::min(outline.body, outline.accent);
  if (distance > own_pixel) return;

  // a slow wave bends the pattern, so that no two patches of it are quite alike
  Point const bent =
      q + 0.06F * Point{std::sin(4 * q.y + object.phase.x), std::sin(4 * q.x + object.phase.y)};
  Point const cell = (1 / object.period) * object.pattern_turn.inverse(bent) + object.phase;
  float const ink = coverage(demo_pattern(object.label, cell), own_pixel / object.period);
  Colour colour = mix(object.body, object.ink, ink);
  colour = mix(colour, object.accent, coverage(outline.accent, own_pixel));

  float const depth_inside = std::clamp(-distance / 0.35F, 0.0F, 1.0F);
  float const bulge = depth_inside * (2 - depth_inside);
  out.colour = mix(out.colour, scaled(colour, 0.75F + 0.3F * bulge), coverage(distance, own_pixel));
  if (distance > 0) return;
  out.mask = object.label + 1;
  out.metres = object.metres - 0.3F * object.size * bulge;
}

Pixel pixel_at(DemoScene const& scene, Point p, float pixel) {
  auto out = background_at(scene.background, p, pixel);
  if (scene.distractor) paint_object(*scene.distractor, p, pixel, out);
  paint_object(scene.object, p, pixel, out);
  if (scene.occluder) {
    float const distance = patch_distance(*scene.occluder, p);
    out.colour = mix(out.colour, scene.occluder->colour, coverage(distance, pixel));
    if (distance <= 0) {
      out.mask = 0;
      out.metres = scene.occluder_metres;
    }
  }
  out.colour = scaled(out.colour, scene.gain * (1 + dot(scene.light, p)));
  return out;
}

std::uint8_t to_byte(float x) {
  return static_cast<std::uint8_t>(std::clamp(255 * x + 0.5F, 0.0F, 255.0F));
}

}  // namespace

DemoPicture draw_demo_scene(DemoScene const& scene, DemoCamera const& camera) {
  auto const [width, height] = std::pair{camera.width, camera.height};
  DemoPicture out{
      .image = {width, height, {}}, .mask = {width, height, {}}, .depth = {width, height, {}}};
  float const pixel = 2 * camera.zoom / static_cast<float>(std::min(width, height));
  auto const from_middle = [](std::int32_t i, std::int32_t n) {
    return static_cast<float>(2 * i + 1 - n) * 0.5F;
  };
  for (std::int32_t y = 0; y < height; ++y) {
    for (std::int32_t x = 0; x < width; ++x) {
      Point const p = camera.shift + pixel * Point{from_middle(x, width), from_middle(y, height)};
      auto const at = pixel_at(scene, p, pixel);
      for (float const c : {at.colour.r, at.colour.g, at.colour.b})
        out.image.pixels.push_back(to_byte(camera.gain * c));
      out.mask.values.push_back(static_cast<std::uint16_t>(at.mask));
      out.depth.values.push_back(
          static_cast<std::uint16_t>(at.metres * static_cast<float>(demo_units_per_metre) + 0.5F));
    }
  }
  return out;
}

}  // namespace dino
