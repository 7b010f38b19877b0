// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace dino {

/// What the rows and columns of a grid of patches are divided by.
enum class RopeNormalize {
  separate,  ///< rows by their number, columns by theirs
  max,       ///< both by the larger number
  min,       ///< both by the smaller
};

/// separate, max or min. \throws Error (usage) for another name
RopeNormalize rope_normalize(std::string_view name);

/// Axial rotary positions. Source: DINOv3, arXiv:2508.10104, sec. 3.2; method.md 1.5.
struct Rope {
  std::optional<double> base = 100;         ///< the periods are its powers; unset: the next two
  double min_period = 1, max_period = 100;  ///< of periods in geometric progression
  RopeNormalize normalize = RopeNormalize::separate;

  /// The periods [head_dim / 4], for coordinates in [-1, 1].
  std::vector<double> periods(std::int64_t head_dim) const;
};

/// What the coordinates (y, x) of a grid become: (c + shift) factor.
struct RopeDraw {
  std::array<double, 2> shift{0, 0};
  std::array<double, 2> factor{1, 1};
};

/// How far the coordinates are moved in training. Source: method.md 1.5.
struct RopeAugmentation {
  double shift = 0;    ///< largest shift of an axis; 0: none
  double jitter = 1;   ///< largest factor of an axis (least: its inverse); 1: none
  double rescale = 1;  ///< largest factor of both axes together; 1: none

  bool any() const { return shift > 0 || jitter > 1 || rescale > 1; }
  /// The draws of one step, [depth, 2]: for each block those of the global crops and of the local
  /// crops. A function of the seed, the step, the block and the kind of crop, never of a rank or a
  /// micro-batch.
  std::vector<RopeDraw> draws(std::int64_t seed, std::int64_t step, std::int64_t depth) const;
};

/// Cosines and sines of a grid's lines as RopeRotate takes them: out is [height + width, 2,
/// periods].
void fill_rope_table(RopeNormalize normalize, std::span<double const> periods, std::int64_t height,
                     std::int64_t width, RopeDraw const& draw, std::span<float> out);

}  // namespace dino
