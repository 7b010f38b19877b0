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
  if (!dbias.empty()) require_extents("GeluBackward", "dbias", dbias, {x.extent(1)});
}

template <class T>
void SwigluForward<T>::check() const {
  require_extents("SwigluForward", "x", x, {y.extent(0), 2 * y.extent(1)});
  require_extents("SwigluForward", "y", y, y.extents());
}

template <class T>
void SwigluBackward<T>::check() const {
  require_extents("SwigluBackward", "dy", dy, dy.extents());
  require_extents("SwigluBackward", "x", x, {dy.extent(0), 2 * dy.extent(1)});
  require_extents("SwigluBackward", "dx", dx, x.extents());
  if (!dbias.empty()) require_extents("SwigluBackward", "dbias", dbias, {x.extent(1)});
}

template struct SwigluForward<float>;
template struct SwigluForward<bfloat16>;
template struct SwigluBackward<float>;
template struct SwigluBackward<bfloat16>;
template struct GeluForward<float>;
template struct GeluForward<bfloat16>;
template struct GeluBackward<float>;
template struct GeluBackward<bfloat16>;

}  // namespace dino
