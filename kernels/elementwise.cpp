// SPDX-License-Identifier: Apache-2.0
#include "kernels/elementwise.hpp"

#include "kernels/check.hpp"

namespace dino {

template <class From, class To>
void Cast<From, To>::check() const {
  require_extents("Cast", "x", x, x.extents());
  require_extents("Cast", "y", y, x.extents());
}

template <class T>
void Axpy<T>::check() const {
  require_extents("Axpy", "x", x, x.extents());
  require_extents("Axpy", "y", y, x.extents());
}

void SumOfSquares::check() const {
  require_extents("SumOfSquares", "x", x, x.extents());
  require_extents("SumOfSquares", "sum", sum, {1});
}

template struct Cast<float, float>;
template struct Cast<float, bfloat16>;
template struct Cast<bfloat16, float>;
template struct Cast<bfloat16, bfloat16>;
template struct Axpy<float>;
template struct Axpy<bfloat16>;

}  // namespace dino
