// SPDX-License-Identifier: Apache-2.0
#include "objective/sinkhorn_knopp.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/sinkhorn.hpp"

namespace dino {
namespace {

/// Calls f(part, the values of `rows` that belong to its rows).
template <class F>
void for_each_part(std::span<View<float, 2> const> parts, View<double, 1> rows, F const& f) {
  std::int64_t begin = 0;
  for (auto const& part : parts) {
    f(part, rows.rows(begin, begin + part.extent(0)));
    begin += part.extent(0);
  }
}

}  // namespace

SinkhornKnopp::SinkhornKnopp(Space const& space, std::int64_t prototypes, int iterations)
    : space_(space),
      iterations_(iterations),
      memory_(space, prototypes * static_cast<std::int64_t>(sizeof(double))),
      column_scale_(memory_.as<double>(0, prototypes)),
      column_staging_(static_cast<std::size_t>(prototypes)) {
  require(iterations >= 1, ExitCode::usage,
          "invalid number of Sinkhorn-Knopp iterations: {} "
          "(must be at least 1)",
          iterations);
}

void SinkhornKnopp::targets(Arena& arena, Communicator const& world, Parts parts,
                            double temperature) {
  ArenaScope const scope(arena);
  std::int64_t rows = 0;
  for (auto const& part : parts) rows += part.extent(0);
  auto const row_scale = arena.take<double, 1>({rows});
  first_row_scales(world, parts, row_scale, static_cast<float>(temperature));
  for (int i = 0; i < iterations_; ++i) {
    if (i > 0) {
      for_each_part(parts, row_scale, [&](View<float, 2> x, View<double, 1> scale) {
        run(space_, InverseRowSums{.x = x, .column_scale = column_scale_, .row_scale = scale});
      });
    }
    scale_columns(world, parts, row_scale);
  }
  for (auto const& part : parts)
    run(space_, NormalizeScaledRows{.x = part, .column_scale = column_scale_});
}

void SinkhornKnopp::first_row_scales(Communicator const& world, Parts parts,
                                     View<double, 1> row_scale, float temperature) {
  for_each_part(parts, row_scale, [&](View<float, 2> x, View<double, 1> largest) {
    run(space_, SinkhornExponential{.x = x, .temperature = temperature, .row_max = largest});
  });
  auto const rows = static_cast<std::size_t>(row_scale.extent(0));
  if (row_staging_.size() < rows) row_staging_.resize(rows);
  auto const scales = std::span(row_staging_).first(rows);
  copy_to_host(space_, scales, View<double const, 1>(row_scale));
  double largest = -std::numeric_limits<double>::infinity();
  for (auto const s : scales) largest = std::max(largest, s);
  largest = world.max(largest);
  for (auto& s : scales) s = std::exp(s - largest);
  copy_to_space(space_, row_scale, std::span<double const>(scales));
}

// The reference divides by the number of prototypes and of samples on the way; both cancel in the
// last division by the sums of rows, and so does the sum of all.
void SinkhornKnopp::scale_columns(Communicator const& world, Parts parts,
                                  View<double, 1> row_scale) {
  std::fill(column_staging_.begin(), column_staging_.end(), 0.0);
  copy_to_space(space_, column_scale_, std::span<double const>(column_staging_));
  for_each_part(parts, row_scale, [&](View<float, 2> x, View<double, 1> scale) {
    run(space_, ScaledColumnSums{.x = x, .row_scale = scale, .sums = column_scale_});
  });
  copy_to_host(space_, std::span(column_staging_), View<double const, 1>(column_scale_));
  world.sum(std::span(column_staging_));
  for (auto& s : column_staging_) s = 1.0 / s;
  copy_to_space(space_, column_scale_, std::span<double const>(column_staging_));
}

}  // namespace dino
