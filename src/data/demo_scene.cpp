// SPDX-License-Identifier: Apache-2.0
#include "data/demo_scene.hpp"

#include <algorithm>

#include "base/philox.hpp"

namespace dino {
namespace {

constexpr float pi = 3.14159265F;
// Colours are a short cut by which pictures can be told apart without seeing the object:
// backgrounds are nearly grey, so that a short training finds the objects first.
constexpr double vivid_things = 0.7;
constexpr double vivid_background = 0.2;

/// Streams of Philox(seed, synth, scene, stream); near-duplicate v draws from `first_camera` + v.
enum Stream : std::uint32_t { layout = 0, background = 1, first_camera = 16 };

float uniform(Philox& random, double low, double high) {
  return static_cast<float>(random.uniform(low, high));
}
bool chance(Philox& random, double probability) {
  return random.uniform() < probability;
}

Turn turn_within(Philox& random, float radians) {
  float const angle = uniform(random, -radians, radians);
  return {std::cos(angle), std::sin(angle), chance(random, 0.5) ? 1.0F : -1.0F};
}

float luminance(Colour c) {
  return 0.3F * c.r + 0.59F * c.g + 0.11F * c.b;
}
/// A colour of the given luminance, about: clamping moves that of vivid ones.
Colour tinted(Philox& random, float luminance_wanted, double most_vivid) {
  float const vivid = uniform(random, 0, most_vivid);
  auto const channel = [&] { return vivid * uniform(random, -0.6, 0.6); };
  Colour const tint{channel(), channel(), channel()};
  auto const shifted = [&](float x) {
    return std::clamp(luminance_wanted + x - luminance(tint), 0.02F, 0.98F);
  };
  return {shifted(tint.r), shifted(tint.g), shifted(tint.b)};
}
Colour background_colour(Philox& random) {
  float const grey = uniform(random, 0.32, 0.68);
  return tinted(random, grey, vivid_background);
}
Colour near(Philox& random, Colour c, double range) {
  auto const moved = [&](float x) {
    return std::clamp(x + uniform(random, -range, range), 0.0F, 1.0F);
  };
  return {moved(c.r), moved(c.g), moved(c.b)};
}
/// The colours say nothing of the class. The two of the pattern lie on either side of a middle
/// grey, so that the mean of a part of an object tells little of it, and its pattern much.
void choose_colours(Philox& random, DemoObject& object) {
  float const middle = uniform(random, 0.42, 0.58);
  float const contrast = uniform(random, 0.2, 0.36) * (chance(random, 0.5) ? 1.0F : -1.0F);
  object.body = tinted(random, middle + contrast, vivid_things);
  object.ink = tinted(random, middle - contrast, vivid_things);
  float const grey = uniform(random, 0.2, 0.8);
  object.accent = tinted(random, grey, vivid_things);
}

DemoObject make_object(Philox& random, int label, float size) {
  DemoObject object{.label = label, .size = size};
  object.stretch = {uniform(random, 0.82, 1.12), uniform(random, 0.82, 1.12)};
  object.turn = turn_within(random, pi / 4);
  object.pattern_turn = turn_within(random, pi / 6);
  object.period = uniform(random, 0.34, 0.5);
  object.phase = {uniform(random, 0, 8), uniform(random, 0, 8)};
  choose_colours(random, object);
  return object;
}

DemoPatch make_patch(Philox& random, double least, double most) {
  DemoPatch patch{.round = chance(random, 0.4)};
  patch.centre = {uniform(random, -1.2, 1.2), uniform(random, -1.2, 1.2)};
  patch.half_sides = {uniform(random, least, most), uniform(random, least, most)};
  if (chance(random, 0.3)) patch.half_sides.x *= 4;  // a bar
  patch.turn = turn_within(random, pi);
  patch.colour = background_colour(random);
  return patch;
}

DemoBackground make_background(Philox random) {
  DemoBackground b;
  b.wall_top = background_colour(random);
  b.wall_bottom = near(random, b.wall_top, 0.12);
  b.floor_far = background_colour(random);
  b.floor_near = near(random, b.floor_far, 0.12);
  b.horizon = chance(random, 0.7) ? uniform(random, 0.0, 0.6) : 2.0F;
  b.wall_metres = uniform(random, 5.5, 9);
  b.wall_slope = uniform(random, -0.8, 0.8);
  b.noise = uniform(random, 0.0, 0.12);
  b.noise_cells = uniform(random, 1.5, 6);
  b.salt = random.bits();
  auto const patches = random.below(7);
  for (std::uint64_t i = 0; i < patches; ++i) {
    b.clutter.push_back(make_patch(random, 0.05, 0.3));
    auto& colour = b.clutter.back().colour;
    colour = near(random, b.wall_top, 0.15);
  }
  return b;
}

/// Near the outline, so that most of the object stays in sight.
DemoPatch make_occluder(Philox& random, DemoObject const& object) {
  auto patch = make_patch(random, 0.12 * object.size, 0.3 * object.size);
  float const angle = uniform(random, 0, 2 * pi);
  patch.centre = object.centre + 0.8F * object.size * Point{std::cos(angle), std::sin(angle)};
  return patch;
}

/// A corner of the picture that the object leaves free, about.
Point corner_away_from(Point centre) {
  return {centre.x > 0 ? -0.72F : 0.72F, centre.y > 0 ? -0.72F : 0.72F};
}

}  // namespace

DemoScene make_demo_scene(std::uint64_t seed, std::int64_t number) {
  auto const index = static_cast<std::uint64_t>(number);
  Philox random(seed, Purpose::synth, index, layout);
  DemoScene scene;
  scene.background = make_background(Philox(seed, Purpose::synth, index, background));

  float const size = uniform(random, 0.6, 0.85);
  float const room = 1.1F - size;
  scene.object = make_object(random, demo_label(number), size);
  scene.object.centre = {uniform(random, -room, room), uniform(random, -room, room)};
  scene.object.metres = 1.2F / size;
  scene.background.floor_metres = scene.object.metres + uniform(random, 1.0, 1.4);

  if (chance(random, 0.25)) {
    auto const label = static_cast<int>(random.below(demo_classes));
    scene.distractor = make_object(random, label, uniform(random, 0.18, 0.26));
    scene.distractor->centre = corner_away_from(scene.object.centre);
    scene.distractor->metres = scene.object.metres + 0.5F;
  }
  if (chance(random, 0.2)) {
    scene.occluder = make_occluder(random, scene.object);
    scene.occluder_metres = scene.object.metres - 0.45F;
  }
  scene.light = {uniform(random, -0.12, 0.12), uniform(random, -0.12, 0.12)};
  scene.gain = uniform(random, 0.85, 1.1);
  return scene;
}

DemoCamera make_demo_camera(std::uint64_t seed, std::int64_t scene, std::uint32_t variant,
                            std::int64_t size) {
  Philox random(seed, Purpose::synth, static_cast<std::uint64_t>(scene), first_camera + variant);
  auto const side = [&] {
    auto const drawn = 64 + static_cast<std::int32_t>(random.below(65));
    return size > 0 ? static_cast<std::int32_t>(size) : drawn;
  };
  DemoCamera camera;
  camera.width = side();
  camera.height = side();
  if (variant == 0) return camera;
  camera.zoom = uniform(random, 0.93, 1.03);
  camera.shift = {uniform(random, -0.05, 0.05), uniform(random, -0.05, 0.05)};
  camera.gain = uniform(random, 0.9, 1.1);
  camera.quality = 55 + static_cast<int>(random.below(31));
  return camera;
}

}  // namespace dino
