// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

#include "comm/communicator.hpp"
#include "kernels/arena.hpp"
#include "kernels/gram.hpp"

namespace dino {

/// How Gram matrices are made of patch features.
struct GramSettings {
  bool normalized = true;  ///< features of unit length: similarities are cosines
  GramNegatives negatives = GramNegatives::kept;
};

/// The Gram loss: mean over all elements of (X Xᵀ - Y Yᵀ)², X the student's patch features and Y
/// those of the Gram teacher, over the global batch under any number of ranks and micro-batches. At
/// image level there is a matrix for each global crop; at batch level one of all patches. Matrices
/// are never whole: blocks of them are compared, and since they are symmetric the gradient of a row
/// needs the blocks of that row alone. Source: DINOv3, arXiv:2508.10104, sec. 4; method.md 3.8.
class GramLoss {
 public:
  GramLoss(Space const& space, GramSettings const& settings);

  void begin_step();
  /// Image level: adds the crops of one micro-batch and gives d(loss_weight L)/d(student).
  /// \param student, teacher  [n N, D], crop by crop, not normalised; n may be 0
  /// \param patches  N; \param global_crops  of all ranks and micro-batches
  /// \param gradient  [n N, D], overwritten; must not alias the features
  void add_crops(Arena& arena, View<float const, 2> student, View<float const, 2> teacher,
                 std::int64_t patches, std::int64_t global_crops, double loss_weight,
                 View<float, 2> gradient);
  /// Batch level: the patches of all micro-batches of this rank in one call. All ranks call this;
  /// each broadcasts its features in turn, so that no rank holds more than those of two.
  /// \param student, teacher  [n, D], in one order; n may be 0, on this or on all ranks
  /// \param gradient  [n, D], overwritten; must not alias the features
  void add_batch(Arena& arena, Communicator const& world, View<float const, 2> student,
                 View<float const, 2> teacher, double loss_weight, View<float, 2> gradient);

  /// This rank's share of L since `begin_step`, without loss_weight.
  double local_loss() const;

 private:
  /// Features as the matrices take them, and the student's lengths for backward.
  struct Features {
    View<float const, 2> student, teacher;  ///< [n, D]
    View<float, 1> norm;                    ///< [n]; empty where nothing is normalised
  };
  /// What an element of a matrix counts in the loss, and in the gradient beside that.
  struct Weights {
    double element = 1, objective = 1;
  };
  Features features(Arena& arena, View<float const, 2> student, View<float const, 2> teacher);
  void add_pairs(Arena& arena, Features const& own, Features const& others, Weights weights,
                 View<float, 2> gradient);
  void add_received(Arena& arena, Features const& own, std::int64_t count, View<float, 3> buffer,
                    Weights weights, View<float, 2> gradient);
  void finish_gradient(Features const& own, View<float, 2> gradient);
  void share(Communicator const& world, int root, Features const& own, std::int64_t values);

  Space space_;
  GramSettings settings_;
  Buffer memory_;
  View<double, 1> loss_;         ///< [1]
  std::vector<float> received_;  ///< host: a rank's student, then its teacher; grows to the largest
};

}  // namespace dino
