// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/philox.hpp"

namespace dino {

/// What happens to a mask in which no further block fits.
enum class MaskCompletion {
  none,   ///< it keeps fewer patches than its target (DINOv2)
  exact,  ///< further patches are drawn one by one (DINOv3)
};

/// Masks of the student's global crops. Source: iBOT, arXiv:2111.07832, sec. 3.2 (block-wise
/// masking of BEiT); method.md 4.
struct MaskSettings {
  int grid_h = 14, grid_w = 14;     ///< patches of a global crop
  double min_block = 4;             ///< patches of a block, at least (unless fewer are wanted)
  double max_block = 98;            ///< patches of a block, at most; see largest_block
  double min_aspect = 0.3;          ///< of a block, in (0, 1]; the largest is its inverse
  double sample_probability = 0.5;  ///< share of the global crops that are masked, in [0, 1]
  std::array<double, 2> ratio{0.1, 0.5};  ///< share of patches that are masked in those, in [0, 1]
  MaskCompletion completion = MaskCompletion::none;
  bool circular_shift = false;  ///< rolls each mask by a random offset (DINOv3)

  std::int64_t patches() const { return std::int64_t{grid_h} * grid_w; }
  /// \throws Error (usage)
  void validate() const;
};

/// Largest block of crops of `crop_size` pixels: ((0.5 S)//p S)//p, half of the grid.
double largest_block(int crop_size, int patch_size);

/// Adds one rectangle of 1 to `max_new` patches that were not masked; ten attempts.
struct MaskBlock {
  int height = 0, width = 0;  ///< 0: all attempts failed
  int added = 0;              ///< patches that were not masked before
};
MaskBlock add_block(Philox& random, std::span<std::uint8_t> mask, MaskSettings const& settings,
                    double max_new);

/// Masks patches of an empty grid until `target` are, or no block fits; returns their number, which
/// is `target` with MaskCompletion::exact.
/// \param mask  [grid_h * grid_w], overwritten with 0 and 1
std::int64_t draw_mask(Philox& random, std::span<std::uint8_t> mask, MaskSettings const& settings,
                       std::int64_t target);

/// out[(i + down) mod H, (j + right) mod W] = mask[i, j].
std::vector<std::uint8_t> circular_shift(std::span<std::uint8_t const> mask, int height, int width,
                                         int down, int right);

/// How many patches the masks of one batch take: a ladder of ratios, the same for every batch, with
/// one step for each masked crop. All in float32, like the reference: counts hang on it.
/// Source: method.md 4.2.
class MaskLadder {
 public:
  /// \param crops  C, global crops of the batch
  MaskLadder(MaskSettings const& settings, std::int64_t crops);

  /// int(C p): crops that are masked.
  std::int64_t masked() const { return masked_; }
  /// Ratios between which the target of step i < masked() lies.
  std::array<float, 2> ratios(std::int64_t i) const;
  /// Patches to mask in the crop on step i: int(N times the ratio at share `uniform` of the way
  /// from the lower to the upper one), uniform in [0, 1]; with MaskCompletion::exact at the upper
  /// one.
  std::int64_t target(std::int64_t i, double uniform) const;
  /// Most patches that step i masks.
  std::int64_t most(std::int64_t i) const;
  /// Most masked patches among any `crops` crops of the batch (all: the reference's upperbound).
  std::int64_t upper_bound(std::int64_t crops) const;

 private:
  float ratio(std::int64_t i) const;
  float low_, high_, step_;
  float patches_;
  MaskCompletion completion_;
  std::int64_t masked_;
};

/// Masks of the global crops of some images, crop-major, and what the losses need of them.
struct CollatedMasks {
  std::vector<std::uint8_t> masks;    ///< [2 b, N], 1: masked
  std::vector<std::int64_t> indices;  ///< [M], of masked patches in the flattened masks, rising
  std::vector<float> weights;         ///< [M], 1 / masked patches of the crop
  std::vector<std::int64_t> counts;   ///< [2 b], masked patches of each crop
};

/// Indices, weights and counts of masks [crops, patches].
CollatedMasks collate(std::vector<std::uint8_t> masks, std::int64_t patches);

/// Draws the masks of a batch. They are a pure function of (seed, step, place in the GLOBAL batch):
/// the ladder and its shuffle over all 2 B crops are those of the global batch, and each rank and
/// micro-batch computes its own crops' masks without the others'.
class MaskMaker {
 public:
  /// \param global_batch  B, images of all ranks and micro-batches; \throws Error (usage)
  MaskMaker(MaskSettings const& settings, std::int64_t global_batch, std::uint64_t seed);

  /// Masks of both global crops of the images [first, first + images) of step `step`'s batch. May
  /// be called by several threads.
  CollatedMasks masks(std::int64_t step, std::int64_t first, std::int64_t images) const;
  /// Most masked patches that `masks` gives for so many images: what buffers are sized by.
  std::int64_t most_masked(std::int64_t images) const { return ladder_.upper_bound(2 * images); }
  MaskLadder const& ladder() const { return ladder_; }

 private:
  /// Step of the ladder of each crop of the global batch [2 B]; masked() and more: no mask.
  std::vector<std::int64_t> shuffled_steps(std::int64_t step) const;

  MaskSettings settings_;
  std::int64_t global_batch_;
  std::uint64_t seed_;
  MaskLadder ladder_;
};

}  // namespace dino
