// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "data/evaluation_images.hpp"
#include "eval/knn.hpp"
#include "io/shards.hpp"

namespace dino {

/// The pixels of this rank's share of the images after the evaluation transform, [n, 3 crop crop],
/// as features: the baseline that learned ones must beat. Collective only in the share it takes.
LabelledFeatures raw_pixel_features(Communicator const& comm, io::ShardSet const& shards,
                                    EvaluationTransform const& transform, std::int64_t workers);

}  // namespace dino
