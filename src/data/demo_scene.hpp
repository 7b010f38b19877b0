// SPDX-License-Identifier: Apache-2.0
// One scene of the demo world, as numbers: every one a pure function of (seed, scene). Private to
// data/.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "data/demo_shapes.hpp"
#include "io/image.hpp"

namespace dino {

/// Linear enough for this purpose: each channel in [0, 1].
struct Colour {
  float r = 0, g = 0, b = 0;
};

/// A turn, after a mirroring where `mirror` is -1.
struct Turn {
  float cosine = 1, sine = 0, mirror = 1;
  /// From the frame of the scene to that of the turned thing.
  Point inverse(Point p) const {
    return {mirror * (cosine * p.x + sine * p.y), cosine * p.y - sine * p.x};
  }
};

/// Places are in scene coordinates: the shorter side of the picture is [-1, 1], y down.
struct DemoObject {
  int label = 0;
  Point centre;
  float size = 0.6F;    ///< half of the object's extent
  Point stretch{1, 1};  ///< of the silhouette along its own axes
  Turn turn;
  Colour body, ink, accent;
  Turn pattern_turn;     ///< of the pattern against the silhouette
  float period = 0.35F;  ///< of the pattern, in half extents
  Point phase;           ///< of the pattern, in periods
  float metres = 2;      ///< from the camera to the outline
};

/// A plain patch: of clutter on the background, or a thing in front.
struct DemoPatch {
  bool round = false;
  Point centre, half_sides;
  Turn turn;
  Colour colour;
};

/// A wall above a floor.
struct DemoBackground {
  Colour wall_top, wall_bottom, floor_far, floor_near;
  float horizon = 0;       ///< y where they meet; above 1: no floor
  float wall_metres = 6;   ///< distance of the wall in the middle
  float wall_slope = 0;    ///< metres per unit of x
  float floor_metres = 4;  ///< distance of the floor at the lower edge
  float noise = 0.1F;      ///< amplitude
  float noise_cells = 4;   ///< per unit
  std::uint32_t salt = 0;
  std::vector<DemoPatch> clutter;
};

struct DemoScene {
  DemoBackground background;
  std::optional<DemoObject> distractor;  ///< a small object, of another class or the same
  DemoObject object;                     ///< gives the label
  std::optional<DemoPatch> occluder;
  float occluder_metres = 1;
  Point light;     ///< change of brightness per unit
  float gain = 1;  ///< brightness
};

/// How a scene is looked at. Near-duplicates differ in this alone.
struct DemoCamera {
  std::int32_t width = 96, height = 96;  ///< pixels
  Point shift;                           ///< scene coordinates
  float zoom = 1;                        ///< scene units per picture unit
  float gain = 1;
  int quality = 90;  ///< of the JPEG
};

constexpr int demo_label(std::int64_t scene) {
  return static_cast<int>(scene % demo_classes);
}
DemoScene make_demo_scene(std::uint64_t seed, std::int64_t scene);
/// \param variant  0: the first picture of a scene, 1, 2, ...: its near-duplicates
/// \param size     pixels of both sides; 0: each side varies in 64 to 128
DemoCamera make_demo_camera(std::uint64_t seed, std::int64_t scene, std::uint32_t variant,
                            std::int64_t size);

struct DemoPicture {
  io::Image image;
  io::Raster mask;   ///< 0: background, label + 1: object
  io::Raster depth;  ///< distance from the camera times demo_units_per_metre
};
inline constexpr double demo_units_per_metre = 1000;
DemoPicture draw_demo_scene(DemoScene const& scene, DemoCamera const& camera);

}  // namespace dino
