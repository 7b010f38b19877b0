// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "eval/dense_features.hpp"

namespace dino {

/// Class of each patch of one image, [side * side]: that of most of its area; -1: not labelled.
struct PatchLabels {
  std::int64_t image = 0;  ///< place in the list of images
  std::vector<std::int64_t> classes;
};

/// Classes of the patches of this rank's share of the listed images, from their masks, which are
/// resized and cropped like the images (nearest). Mask value 255 is not labelled.
/// \throws Error (usage) where an image has no mask
std::vector<PatchLabels> load_patch_labels(Communicator const& comm, io::ShardSet const& shards,
                                           std::span<std::int64_t const> images,
                                           EvaluationTransform const& transform,
                                           std::int64_t patch_size);

struct PatchProbe {
  double accuracy = 0;  ///< percent of the patches
  double mean_iou = 0;  ///< percent, over the classes that the patches have or are given
};

/// Classifies patches by their k nearest neighbours (cosine, weighted votes): images at even places
/// of the list vote, those at odd places are classified. Of an image at most `patches_of_an_image`
/// patches, evenly spread, take part. Collective, alike on all ranks. Source of the votes:
/// method.md 9.1. \throws Error (usage) where no patch is labelled
PatchProbe probe_patches(Communicator const& comm, std::span<PatchFeatures const> features,
                         std::span<PatchLabels const> labels, std::int64_t k, double temperature);

constexpr std::int64_t patches_of_an_image = 64;

}  // namespace dino
