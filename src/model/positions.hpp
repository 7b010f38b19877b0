// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

namespace dino {

/// How a learned grid of positions is resampled to another size. Source: method.md 1.4.
struct PositionInterpolation {
  double offset = 0.1;  ///< added to the new size before its ratio to the old one is taken; 0: none
  bool antialias = false;  ///< filter that widens when the grid shrinks, A = -0.5; else 4 taps
};

/// Weights [n, m] of the bicubic resampling of m positions to n along one axis, see
/// resample_weights. Source: method.md 1.4.
std::vector<float> position_weights(std::int64_t m, std::int64_t n,
                                    PositionInterpolation const& interpolation);

}  // namespace dino
