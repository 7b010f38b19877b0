// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "kernels/view.hpp"

namespace dino::host {

enum class Scalar : std::uint8_t { f32, bf16 };
template <class T>
constexpr Scalar scalar_of =
    std::is_same_v<std::remove_const_t<T>, bfloat16> ? Scalar::bf16 : Scalar::f32;

/// A factor of a product: the matrix itself or the transpose of a row-major one.
struct Factor {
  void const* data = nullptr;
  bool transposed = false;
  std::int64_t stride = 0;  ///< of the rows as they lie in memory
};

/// c = a b + bias, or c += a b (c in float32 then). Sums are float32.
struct MatrixProduct {
  std::int64_t m = 0, n = 0, k = 0;  ///< a is [m, k], b is [k, n]; k >= 1
  Factor a, b;
  Scalar type = Scalar::f32;   ///< of a, b and bias
  void const* bias = nullptr;  ///< [n], or none
  void* c = nullptr;           ///< [m, n], row-major without gaps
  Scalar c_type = Scalar::f32;
  bool accumulate = false;
};

/// \throws Error where the processor lacks the arithmetic, see `native_bfloat16`
void multiply(MatrixProduct const& product);

/// True where the processor multiplies bfloat16; elsewhere convert to float32 first.
bool native_bfloat16();

}  // namespace dino::host
