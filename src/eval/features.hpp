// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "data/evaluation_images.hpp"
#include "eval/knn.hpp"
#include "io/shards.hpp"
#include "model/backbone.hpp"

namespace dino {

/// How features are computed.
struct FeatureOptions {
  EvaluationTransform transform;
  std::int64_t batch_size = 64;  ///< images per rank and forward pass
  std::int64_t workers = 1;      ///< decoding threads per rank
};

/// Features as in evaluation (of a ViT: class tokens after the final norm), of this rank's share of
/// the images (consecutive ones, in the order of the set); rows are not scaled to unit length. All
/// ranks that share the backbone's parameters call together. Labels are those of the shards (-1:
/// none). Source: method.md 9.1.
template <class T>
LabelledFeatures extract_features(Space const& space, Communicator const& comm,
                                  Backbone<T>& backbone, io::ShardSet const& shards,
                                  FeatureOptions const& options);

}  // namespace dino
