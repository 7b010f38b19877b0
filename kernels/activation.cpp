// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.hpp"

#include "kernels/check.hpp"

namespace dino {

template <class T>
void GeluForward<T>::check() const {
  require_extents("GeluForward", "x", x, x.extents());
  require_extents("GeluForward", "y", y, x.extents());
}

template <class T>
void GeluBackward<T>::check() const {
  require_extents("GeluBackward", "x", x, x.extents());
  require_extents("GeluBackward", "dy", dy, x.extents());
  require_extents("GeluBackward", "dx", dx, x.extents());
}

template struct GeluForward<float>;
template struct GeluForward<bfloat16>;
template struct GeluBackward<float>;
template struct GeluBackward<bfloat16>;

}  // namespace dino
