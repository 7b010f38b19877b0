// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "comm/communicator.hpp"
#include "kernels/space.hpp"

namespace dino {

/// Teacher targets softmax((z - c)/τ_t) with a moving centre c, the mean of the logits. One object
/// for class tokens and another for masked patches, also where they share a head. Source: DINO,
/// arXiv:2104.14294, eq. 4; method.md 3.4.
///
/// The centre moves by the mean over all rows of the GLOBAL batch. The reference moves the centre
/// of masked patches by the mean over ranks of each rank's mean over its own patches, which depends
/// on how the batch was dealt out; in one process both are the same. The reference also folds the
/// new mean in at the next step only; the targets are the same, and nothing is pending at a
/// restart.
class SoftmaxCentering {
 public:
  /// \param prototypes  K
  SoftmaxCentering(Space const& space, std::int64_t prototypes, double momentum);

  void begin_step();
  /// Replaces teacher logits [n, K] (n may be 0) by targets, in place, with the centre of the steps
  /// before; adds the logits to the sums that move it.
  View<float const, 2> targets(View<float, 2> teacher_logits, double temperature);
  /// Moves the centre: c ← m c + (1-m) mean. All ranks call this. Where no rank had a row it stays.
  void finish_step(Communicator const& world);

  std::int64_t prototypes() const { return center_.extent(0); }
  std::vector<float> center() const;
  void set_center(std::span<float const> center);

 private:
  Space space_;
  double momentum_;
  Buffer memory_;
  View<float, 1> center_, sums_;       ///< [K]
  std::vector<float> center_staging_;  ///< [K], host
  std::vector<double> sums_staging_;   ///< [K + 1], host: sums, then the number of rows
  std::int64_t rows_ = 0;
};

}  // namespace dino
