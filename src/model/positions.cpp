// SPDX-License-Identifier: Apache-2.0
#include "model/positions.hpp"

#include "kernels/resample.hpp"

namespace dino {

std::vector<float> position_weights(std::int64_t m, std::int64_t n,
                                    PositionInterpolation const& interpolation) {
  double const ratio = static_cast<double>(m) / (static_cast<double>(n) + interpolation.offset);
  return resample_weights(
      m, n, ratio, {.filter = ResampleFilter::bicubic, .antialias = interpolation.antialias});
}

}  // namespace dino
