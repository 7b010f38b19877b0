// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "eval/features.hpp"
#include "model/vit.hpp"

namespace dino {

/// Images of a set that are looked at again and again: `count` of `size`, or all, evenly spread.
std::vector<std::int64_t> spread_indices(std::int64_t size, std::int64_t count);

/// Patch features of one image, each of unit length.
struct PatchFeatures {
  std::int64_t image = 0;          ///< place in the list of images
  std::int64_t side = 0;           ///< the patches are side x side
  std::int64_t dim = 0;            ///< D
  std::vector<float> patches;      ///< [side * side, D]
  std::vector<float> class_token;  ///< [D], of unit length
  std::int64_t count() const { return side * side; }
  std::span<float const> patch(std::int64_t index) const {
    return std::span(patches).subspan(static_cast<std::size_t>(index * dim),
                                      static_cast<std::size_t>(dim));
  }
};

/// Patch features and class tokens after the final norm, of this rank's share of the listed images
/// (consecutive ones). All ranks that share the backbone's parameters call together.
template <class T>
std::vector<PatchFeatures> extract_patch_features(Space const& space, Communicator const& comm,
                                                  Vit<T>& backbone, io::ShardSet const& shards,
                                                  std::span<std::int64_t const> images,
                                                  FeatureOptions const& options);

/// Cosines of all pairs of patches of an image, [P, P].
std::vector<float> patch_similarities(PatchFeatures const& features);

}  // namespace dino
