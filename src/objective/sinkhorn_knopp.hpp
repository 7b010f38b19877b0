// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "comm/communicator.hpp"
#include "kernels/arena.hpp"

namespace dino {

/// Teacher targets by the Sinkhorn-Knopp algorithm: a matrix close to exp(z/τ) whose rows (samples)
/// sum to 1 and whose columns (prototypes) have equal sums over the GLOBAL batch. Source: SwAV,
/// arXiv:2006.09882, sec. 3.1; DINOv2, arXiv:2304.07193, sec. 4; method.md 3.5.
///
/// The rows of all ranks and all micro-batches of a step enter one matrix, so that all the
/// teacher's logits of the step must be there before the first target is: run the teacher over
/// every micro-batch, keep its logits, call `targets` once, then use each part with its
/// micro-batch.
class SinkhornKnopp {
 public:
  /// \param prototypes  K; \param iterations  >= 1, alternations of columns and rows
  SinkhornKnopp(Space const& space, std::int64_t prototypes, int iterations = 3);

  /// Replaces this rank's teacher logits by its targets, in place. All ranks call this; reduced
  /// over them are one scalar and `iterations` vectors of length K. \param parts  this rank's rows
  /// of the global batch in any number of parts [n, K]; n may be 0,
  ///               on this or on all ranks
  /// \param temperature  τ_t > 0
  void targets(Arena& arena, Communicator const& world, std::span<View<float, 2> const> parts,
               double temperature);

 private:
  using Parts = std::span<View<float, 2> const>;
  void first_row_scales(Communicator const& world, Parts parts, View<double, 1> row_scale,
                        float temperature);
  void scale_columns(Communicator const& world, Parts parts, View<double, 1> row_scale);

  Space space_;
  int iterations_;
  Buffer memory_;
  View<double, 1> column_scale_;        ///< [K]
  std::vector<double> column_staging_;  ///< [K], host
  std::vector<double> row_staging_;     ///< host; grows to the most rows of a step
};

}  // namespace dino
