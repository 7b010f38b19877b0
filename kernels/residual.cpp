// SPDX-License-Identifier: Apache-2.0
#include "kernels/residual.hpp"

#include "kernels/check.hpp"

namespace dino {

template <class T>
void RowGather<T>::check() const {
  require_extents("RowGather", "x", x, x.extents());
  require_extents("RowGather", "rows", rows, {y.extent(0)});
  require_extents("RowGather", "y", y, {y.extent(0), x.extent(1)});
}

template <class T>
void RowScatterAdd<T>::check() const {
  require_extents("RowScatterAdd", "x", x, {x.extent(0), y.extent(1)});
  require_extents("RowScatterAdd", "rows", rows, {x.extent(0)});
  require_extents("RowScatterAdd", "y", y, y.extents());
}

template <class T>
void ResidualForward<T>::check() const {
  auto const m = rows ? branch.extent(0) : x.extent(0);
  require_extents("ResidualForward", "x", x, x.extents());
  require_extents("ResidualForward", "branch", branch, {m, x.extent(1)});
  require_extents_or_none("ResidualForward", "gamma", gamma, {x.extent(1)});
  require_extents_or_none("ResidualForward", "rows", rows, {m});
  require_extents_or_none("ResidualForward", "scale", scale, {m});
  require_extents("ResidualForward", "y", y, x.extents());
}

template <class T>
void ResidualBackward<T>::check() const {
  auto const m = rows ? dbranch.extent(0) : dy.extent(0);
  require_extents("ResidualBackward", "dy", dy, dy.extents());
  require_extents_or_none("ResidualBackward", "gamma", gamma, {dy.extent(1)});
  require_extents_or_none("ResidualBackward", "rows", rows, {m});
  require_extents_or_none("ResidualBackward", "scale", scale, {m});
  require_extents("ResidualBackward", "dbranch", dbranch, {m, dy.extent(1)});
  if (dgamma.empty()) return;
  require_extents("ResidualBackward", "branch", branch, {m, dy.extent(1)});
  require_extents("ResidualBackward", "dgamma", dgamma, {dy.extent(1)});
}

template struct RowGather<float>;
template struct RowGather<bfloat16>;
template struct RowScatterAdd<float>;
template struct RowScatterAdd<bfloat16>;
template struct ResidualForward<float>;
template struct ResidualForward<bfloat16>;
template struct ResidualBackward<float>;
template struct ResidualBackward<bfloat16>;

}  // namespace dino
