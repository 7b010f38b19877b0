// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/view.hpp"

namespace dino::host {

// Inside `omp simd` loops GCC vectorises an assignment to the bits, but not one of a class.
inline void store(float& to, float value) {
  to = value;
}
inline void store(bfloat16& to, float value) {
  to.bits = bfloat16::round(value);
}

}  // namespace dino::host
