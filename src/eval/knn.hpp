// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "comm/communicator.hpp"

namespace dino {

/// Labelled features of this rank: rows of unit length.
struct LabelledFeatures {
  std::int64_t dim = 0;
  std::vector<float> features;       ///< [n, dim]
  std::vector<std::int64_t> labels;  ///< [n]
  std::int64_t size() const { return static_cast<std::int64_t>(labels.size()); }
};

struct KnnResult {
  std::int64_t k = 0;         ///< as asked; clamped to the number of training images
  double top1 = 0, top5 = 0;  ///< percent
};

/// Weighted k-nearest-neighbour classification: each of the k most similar training images votes
/// for its class with exp(similarity / temperature). Training features are spread over the ranks of
/// `comm`, test features too; every rank gets the result. Equal scores: the lower class index ranks
/// first; equal similarities: the lower global training index. Source: Wu et al. 2018,
/// arXiv:1805.01978; method.md 9.1 (v1).
/// \throws Error (usage) where there are no features or labels out of [0, classes)
std::vector<KnnResult> knn_classify(Communicator const& comm, LabelledFeatures const& train,
                                    LabelledFeatures const& test, std::span<std::int64_t const> ks,
                                    std::int64_t classes, double temperature);

/// Divides each row by its length (rows of length 0 stay 0).
void normalize_rows(std::span<float> features, std::int64_t dim);

}  // namespace dino
