// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "config/config.hpp"

namespace dino::config {

/// Sides of the crops of one step, pixels.
struct CropSizes {
  std::int64_t global = 0, local = 0;
  std::optional<std::int64_t> gram = {};  ///< of the Gram teacher's global crops; unset: none
  double share = 1;                       ///< of the steps that have these sizes

  /// Side at which global crops are cut out of the image. Source: method.md 5.2.
  std::int64_t base() const { return std::max(global, gram.value_or(0)); }
  friend bool operator==(CropSizes const&, CropSizes const&) = default;
};

/// All sizes that steps of a run may have: those of [crops.pairs], else the one of [crops]. Shares
/// sum to 1.
std::vector<CropSizes> crop_sizes(Crops const& crops);

}  // namespace dino::config
