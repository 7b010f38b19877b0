// SPDX-License-Identifier: Apache-2.0
#include "kernels/optimizer.hpp"

#include "base/error.hpp"
#include "kernels/check.hpp"

namespace dino {

void AdamWStep::check() const {
  require_extents("AdamWStep", "parameter", parameter, parameter.extents());
  require_extents("AdamWStep", "exp_avg", exp_avg, parameter.extents());
  require_extents("AdamWStep", "exp_avg_sq", exp_avg_sq, parameter.extents());
  require_extents("AdamWStep", "gradient", gradient, parameter.extents());
  require(step >= 1, ExitCode::bug, "AdamWStep: step is {}, the first is 1", step);
}

void MomentumStep::check() const {
  require_extents("MomentumStep", "parameter", parameter, parameter.extents());
  require_extents("MomentumStep", "buffer", buffer, parameter.extents());
  require_extents("MomentumStep", "gradient", gradient, parameter.extents());
}

void TrustSums::check() const {
  require_extents("TrustSums", "parameter", parameter, parameter.extents());
  require_extents("TrustSums", "gradient", gradient, parameter.extents());
  require_extents("TrustSums", "sums", sums, {2});
}

void EmaUpdate::check() const {
  require_extents("EmaUpdate", "teacher", teacher, teacher.extents());
  require_extents("EmaUpdate", "student", student, teacher.extents());
}

}  // namespace dino
