// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>

#include "kernels/view.hpp"

namespace dino {

/// Some rows of the teacher's logits, on their way to targets.
struct LogitTile {
  /// Sinkhorn-Knopp replaces logits by their exponentials and says so here.
  enum class Holds { logits, exponentials };
  View<float, 2> values;  ///< [n, K]
  Holds holds = Holds::logits;
};

/// Calls its argument for each tile of this rank's logits of a step, in the same order every time:
/// with the tile that it left behind the time before, where logits are kept, or with logits
/// computed anew, where they would take too much memory. A rank may have no tile.
using LogitTiles = std::function<void(std::function<void(LogitTile&)> const&)>;

}  // namespace dino
