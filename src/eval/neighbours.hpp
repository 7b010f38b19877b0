// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "comm/communicator.hpp"
#include "eval/knn.hpp"

namespace dino {

/// The most similar training images of each test image of this rank, best first.
struct Neighbours {
  std::int64_t k = 0;               ///< as asked, at most the number of training images
  std::int64_t rows = 0;            ///< test images of this rank
  std::vector<double> similarity;   ///< [rows, k], falling
  std::vector<std::int64_t> index;  ///< [rows, k], global: in the order of the ranks
  std::vector<std::int64_t> label;  ///< [rows, k]

  std::span<double const> similarities_of(std::int64_t row) const;
  std::span<std::int64_t const> labels_of(std::int64_t row) const;
};

/// Training features that pass by at a time, of all ranks together, in bytes.
constexpr std::int64_t default_piece_bytes = std::int64_t{1} << 24;

/// Finds the k training images of the largest dot product with each test image; equal ones: the
/// lower global index first. Sums are in double and in the order of the columns, so that the result
/// does not depend on how the images are spread. The training features pass by in pieces: memory
/// beyond the input is bounded by the number of this rank's test images. All ranks call it.
/// \throws Error (usage), alike on all ranks, where there are no features or their widths differ;
/// (numerical) where a feature is not finite
Neighbours nearest_neighbours(Communicator const& comm, LabelledFeatures const& train,
                              LabelledFeatures const& test, std::int64_t k,
                              std::int64_t piece_bytes = default_piece_bytes);

/// Weights of one row's votes: exp((similarity - largest similarity) / temperature), which is
/// exp(similarity / temperature) up to a factor that all classes share. Source: method.md 9.1.
std::vector<double> vote_weights(Neighbours const& neighbours, std::int64_t row,
                                 double temperature);

/// Adds the weights of the first k neighbours of a row to the scores of their classes, [classes].
void add_votes(Neighbours const& neighbours, std::int64_t row, std::span<double const> weights,
               std::int64_t k, std::span<double> scores);

}  // namespace dino
