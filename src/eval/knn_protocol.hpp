// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

#include "eval/knn.hpp"
#include "io/shards.hpp"

namespace dino {

/// \throws Error (usage) unless both sets are labelled with the same classes
void require_same_classes(io::ShardSet const& train, io::ShardSet const& test);

/// k-NN classification of features as they are: brought to unit length first. Classes are those of
/// the labels. Collective. Source: method.md 9.1 (v1).
std::vector<KnnResult> knn_accuracy(Communicator const& comm, LabelledFeatures train,
                                    LabelledFeatures test, std::span<std::int64_t const> ks,
                                    double temperature);

}  // namespace dino
