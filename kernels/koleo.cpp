// SPDX-License-Identifier: Apache-2.0
#include "kernels/koleo.hpp"

#include "base/error.hpp"
#include "kernels/check.hpp"

namespace dino {

void TopNeighbours::check() const {
  auto const rows = similarity.extent(0), columns = similarity.extent(1);
  require_extents("TopNeighbours", "similarity", similarity, {rows, columns});
  require_extents("TopNeighbours", "neighbours", neighbours, {rows, neighbours.extent(1)});
  require(neighbours.extent(1) <= columns, ExitCode::bug, "TopNeighbours: {} of {} columns",
          neighbours.extent(1), columns);
  require(first >= 0 && first + rows <= columns, ExitCode::bug,
          "TopNeighbours: rows [{}, {}) have no column among {}", first, first + rows, columns);
}

void KoleoPairs::check() const {
  auto const rows = u.extent(0);
  require_extents("KoleoPairs", "u", u, u.extents());
  require_extents("KoleoPairs", "neighbours", neighbours, {rows, neighbours.extent(1)});
  require_extents("KoleoPairs", "coefficients", coefficients, neighbours.extents());
  require_extents("KoleoPairs", "du", du, u.extents());
  require_extents("KoleoPairs", "loss", loss, {1});
  require(0 <= begin && begin <= end && end <= rows, ExitCode::bug,
          "KoleoPairs: rows [{}, {}) of {}", begin, end, rows);
}

}  // namespace dino
