// SPDX-License-Identifier: Apache-2.0
#include "objective/sinkhorn_knopp.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/sinkhorn.hpp"

namespace dino {

SinkhornKnopp::SinkhornKnopp(Space const& space, std::int64_t prototypes, int iterations)
    : space_(space),
      iterations_(iterations),
      memory_(space, 2 * prototypes * static_cast<std::int64_t>(sizeof(double))),
      column_scale_(memory_.as<double>(0, prototypes)),
      sums_(memory_.as<double>(prototypes * static_cast<std::int64_t>(sizeof(double)), prototypes)),
      column_staging_(static_cast<std::size_t>(prototypes)) {
  require(iterations >= 1, ExitCode::usage,
          "invalid number of Sinkhorn-Knopp iterations: {} "
          "(must be at least 1)",
          iterations);
}

// The scales of rows are needed only until their tile is summed up, so that one visit both scales
// the rows by the columns of the iteration before and sums the columns.
void SinkhornKnopp::solve(Arena& arena, Communicator const& world, LogitTiles const& tiles,
                          double temperature) {
  temperature_ = static_cast<float>(temperature);
  double largest = -std::numeric_limits<double>::infinity();
  for (int i = 0; i < iterations_; ++i) {
    clear_sums();
    tiles([&](LogitTile& tile) {
      ArenaScope const scope(arena);
      auto const scale = arena.take<double, 1>({tile.values.extent(0)});
      exponentiate(tile, scale);
      double factor = 1;
      if (i == 0) {
        factor = first_row_scales(scale, largest);
      } else {
        run(space_,
            InverseRowSums{.x = tile.values, .column_scale = column_scale_, .row_scale = scale});
      }
      run(space_,
          ScaledColumnSums{.x = tile.values, .row_scale = scale, .sums = sums_, .factor = factor});
    });
    double factor = 1;
    if (i == 0) {
      double const of_all = world.max(largest);
      factor = std::isfinite(largest) ? std::exp(largest - of_all) : 0.0;
    }
    invert_sums(world, factor);
  }
}

void SinkhornKnopp::targets(Arena& arena, LogitTile& tile) const {
  ArenaScope const scope(arena);
  exponentiate(tile, arena.take<double, 1>({tile.values.extent(0)}));
  run(space_, NormalizeScaledRows{.x = tile.values, .column_scale = column_scale_});
}

/// \param row_max  [n], overwritten where the tile held logits
void SinkhornKnopp::exponentiate(LogitTile& tile, View<double, 1> row_max) const {
  if (tile.holds == LogitTile::Holds::exponentials) return;
  run(space_,
      SinkhornExponential{.x = tile.values, .temperature = temperature_, .row_max = row_max});
  tile.holds = LogitTile::Holds::exponentials;
}

/// Turns the largest exponents of rows into their scales, relative to `largest`, the largest of
/// this rank so far. \return the factor that brings sums of earlier rows to the new `largest`
double SinkhornKnopp::first_row_scales(View<double, 1> rows, double& largest) {
  auto const count = static_cast<std::size_t>(rows.extent(0));
  if (row_staging_.size() < count) row_staging_.resize(count);
  auto const scales = std::span(row_staging_).first(count);
  copy_to_host(space_, scales, View<double const, 1>(rows));
  double const before = largest;
  for (auto const s : scales) largest = std::max(largest, s);
  for (auto& s : scales) s = std::exp(s - largest);
  copy_to_space(space_, rows, std::span<double const>(scales));
  return largest == before ? 1.0 : std::exp(before - largest);
}

void SinkhornKnopp::clear_sums() {
  std::fill(column_staging_.begin(), column_staging_.end(), 0.0);
  copy_to_space(space_, sums_, std::span<double const>(column_staging_));
}

// The reference divides by the number of prototypes and of samples on the way; both cancel in the
// last division by the sums of rows, and so does the sum of all.
void SinkhornKnopp::invert_sums(Communicator const& world, double factor) {
  copy_to_host(space_, std::span(column_staging_), View<double const, 1>(sums_));
  for (auto& s : column_staging_) s *= factor;
  world.sum(std::span(column_staging_));
  for (auto& s : column_staging_) s = 1.0 / s;
  copy_to_space(space_, column_scale_, std::span<double const>(column_staging_));
}

}  // namespace dino
