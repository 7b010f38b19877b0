// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "eval/dense_features.hpp"

namespace dino {

/// Cosines within an image, means over the images of a fixed list. As training goes on too long,
/// patches come to resemble the class token and far ones each other, and what sets neighbours apart
/// from the rest gets lost. Source: DINOv3, arXiv:2508.10104, sec. 4.1.
struct DenseStatistics {
  double patch_to_class = 0, patch_to_class_deviation = 0;  ///< over the patches of an image
  double patch_to_patch = 0, patch_to_patch_deviation = 0;  ///< over its pairs of different patches
  double adjacent = 0;  ///< over its pairs of patches side by side, or one above the other
};

/// Collective: each rank gives the features of some of the `images` images. \return alike on all
/// ranks, whatever their number
DenseStatistics dense_statistics(Communicator const& comm, std::span<PatchFeatures const> mine,
                                 std::int64_t images);

/// Patch similarities of a fixed list of images at one moment, to compare later ones with.
struct GramSnapshot {
  std::string images;  ///< what tells this list, its size and grid from others
  std::int64_t step = 0;
  std::int64_t first = 0;                   ///< place of this rank's first image in the list
  std::vector<std::vector<float>> cosines;  ///< [P, P] of each image of this rank
};

/// Mean over images and pairs of patches of the squared difference of cosines: the Gram loss
/// between now and then. Source: method.md 3.8. Collective, alike on all ranks.
double gram_distance(Communicator const& comm, std::span<PatchFeatures const> mine,
                     std::int64_t images, GramSnapshot const& snapshot);

/// One array `cosines` [images, P, P] in the form of a checkpoint. Collective. \throws Error
/// (input)
void write_snapshot(Communicator const& comm, std::string const& path, GramSnapshot const& snapshot,
                    std::int64_t images);
/// This rank's share. Collective. \throws Error (input) where the file is damaged, (usage) where it
/// is of other images, alike on all ranks
GramSnapshot read_snapshot(Communicator const& comm, std::string const& path,
                           std::string const& images_text, std::int64_t images);

}  // namespace dino
