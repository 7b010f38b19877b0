// SPDX-License-Identifier: Apache-2.0
#include "kernels/sinkhorn.hpp"

#include "base/error.hpp"
#include "kernels/check.hpp"

namespace dino {

void SinkhornExponential::check() const {
  require_extents("SinkhornExponential", "x", x, x.extents());
  require_extents("SinkhornExponential", "row_max", row_max, {x.extent(0)});
  require(temperature > 0, ExitCode::bug, "SinkhornExponential: temperature is {}, must be above 0",
          temperature);
}

void ScaledColumnSums::check() const {
  require_extents("ScaledColumnSums", "x", x, x.extents());
  require_extents("ScaledColumnSums", "row_scale", row_scale, {x.extent(0)});
  require_extents("ScaledColumnSums", "sums", sums, {x.extent(1)});
}

void InverseRowSums::check() const {
  require_extents("InverseRowSums", "x", x, x.extents());
  require_extents("InverseRowSums", "column_scale", column_scale, {x.extent(1)});
  require_extents("InverseRowSums", "row_scale", row_scale, {x.extent(0)});
}

void NormalizeScaledRows::check() const {
  require_extents("NormalizeScaledRows", "x", x, x.extents());
  require_extents("NormalizeScaledRows", "column_scale", column_scale, {x.extent(1)});
}

}  // namespace dino
