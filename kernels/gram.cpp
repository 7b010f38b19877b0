// SPDX-License-Identifier: Apache-2.0
#include "kernels/gram.hpp"

#include "kernels/check.hpp"

namespace dino {

void GramDifference::check() const {
  require_extents("GramDifference", "student", student, student.extents());
  require_extents("GramDifference", "teacher", teacher, student.extents());
  require_extents("GramDifference", "loss", loss, {1});
}

}  // namespace dino
