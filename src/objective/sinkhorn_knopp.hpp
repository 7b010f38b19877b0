// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

#include "comm/communicator.hpp"
#include "kernels/arena.hpp"
#include "objective/logit_tiles.hpp"

namespace dino {

/// Teacher targets by the Sinkhorn-Knopp algorithm: a matrix close to exp(z/τ) whose rows (samples)
/// sum to 1 and whose columns (prototypes) have equal sums over the GLOBAL batch. Source: SwAV,
/// arXiv:2006.09882, sec. 3.1; DINOv2, arXiv:2304.07193, sec. 4; method.md 3.5.
///
/// The rows of all ranks and all micro-batches of a step enter one matrix. Of that, only the
/// scaling of the columns is kept, which is enough to turn any row's logits into its target: run
/// the teacher over every micro-batch, call `solve` once, then `targets` for each tile when its
/// student's logits are there.
class SinkhornKnopp {
 public:
  /// \param prototypes  K; \param iterations  >= 1, alternations of columns and rows
  SinkhornKnopp(Space const& space, std::int64_t prototypes, int iterations = 3);

  /// Finds the scaling of the columns, with one visit of the tiles for each iteration. All ranks
  /// call this; reduced over them are one scalar and `iterations` vectors of length K.
  /// \param temperature  τ_t > 0
  void solve(Arena& arena, Communicator const& world, LogitTiles const& tiles, double temperature);

  /// Replaces a tile of the logits that `solve` saw by its targets.
  void targets(Arena& arena, LogitTile& tile) const;

 private:
  void exponentiate(LogitTile& tile, View<double, 1> row_max) const;
  double first_row_scales(View<double, 1> rows, double& largest);
  void clear_sums();
  void invert_sums(Communicator const& world, double factor);

  Space space_;
  int iterations_;
  float temperature_ = 1;
  Buffer memory_;
  View<double, 1> column_scale_, sums_;  ///< [K]
  std::vector<double> column_staging_;   ///< [K], host
  std::vector<double> row_staging_;      ///< host; grows to the most rows of a tile
};

}  // namespace dino
