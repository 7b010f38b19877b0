// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm.hpp"

#include "base/error.hpp"
#include "kernels/check.hpp"

namespace dino {

template <class T>
void LayerNormForward<T>::check() const {
  auto const rows = x.extent(0), width = x.extent(1);
  require_extents("LayerNormForward", "x", x, {rows, width});
  require_extents("LayerNormForward", "weight", weight, {width});
  require_extents("LayerNormForward", "bias", bias, {width});
  require_extents("LayerNormForward", "y", y, {rows, width});
  require_extents_or_none("LayerNormForward", "mean", mean, {rows});
  require_extents("LayerNormForward", "rstd", rstd, mean.extents());
}

template <class T>
void LayerNormBackward<T>::check() const {
  auto const rows = x.extent(0), width = x.extent(1);
  require_extents("LayerNormBackward", "x", x, {rows, width});
  require_extents("LayerNormBackward", "dy", dy, {rows, width});
  require_extents("LayerNormBackward", "weight", weight, {width});
  require_extents("LayerNormBackward", "mean", mean, {rows});
  require_extents("LayerNormBackward", "rstd", rstd, {rows});
  require_extents("LayerNormBackward", "dx", dx, {rows, width});
  require_extents("LayerNormBackward", "dweight", dweight, {width});
  require_extents("LayerNormBackward", "dbias", dbias, {width});
  require(!accumulate || rows == 0 || dx.data() != dy.data(), ExitCode::bug,
          "LayerNormBackward: dx aliases dy, which needs accumulate = false");
}

template <class T>
void RmsNormForward<T>::check() const {
  auto const rows = x.extent(0), width = x.extent(1);
  require_extents("RmsNormForward", "x", x, {rows, width});
  require_extents("RmsNormForward", "weight", weight, {width});
  require_extents("RmsNormForward", "y", y, {rows, width});
  require_extents_or_none("RmsNormForward", "rstd", rstd, {rows});
}

template <class T>
void RmsNormBackward<T>::check() const {
  auto const rows = x.extent(0), width = x.extent(1);
  require_extents("RmsNormBackward", "x", x, {rows, width});
  require_extents("RmsNormBackward", "dy", dy, {rows, width});
  require_extents("RmsNormBackward", "weight", weight, {width});
  require_extents("RmsNormBackward", "rstd", rstd, {rows});
  require_extents("RmsNormBackward", "dx", dx, {rows, width});
  require_extents("RmsNormBackward", "dweight", dweight, {width});
  require(!accumulate || rows == 0 || dx.data() != dy.data(), ExitCode::bug,
          "RmsNormBackward: dx aliases dy, which needs accumulate = false");
}

template <class T>
void L2NormalizeForward<T>::check() const {
  require_extents("L2NormalizeForward", "x", x, x.extents());
  require_extents("L2NormalizeForward", "y", y, x.extents());
  require_extents("L2NormalizeForward", "norm", norm, {x.extent(0)});
}

template <class T>
void L2NormalizeBackward<T>::check() const {
  require_extents("L2NormalizeBackward", "y", y, y.extents());
  require_extents("L2NormalizeBackward", "dy", dy, y.extents());
  require_extents("L2NormalizeBackward", "norm", norm, {y.extent(0)});
  require_extents("L2NormalizeBackward", "dx", dx, y.extents());
}

template <class T>
void WeightNormForward<T>::check() const {
  require_extents("WeightNormForward", "v", v, v.extents());
  require_extents("WeightNormForward", "g", g, {v.extent(0), 1});
  require_extents("WeightNormForward", "weight", weight, v.extents());
}

template <class T>
void WeightNormBackward<T>::check() const {
  require_extents("WeightNormBackward", "v", v, v.extents());
  require_extents("WeightNormBackward", "dweight", dweight, v.extents());
  require_extents("WeightNormBackward", "g", g, {v.extent(0), 1});
  require_extents_or_none("WeightNormBackward", "dg", dg, {v.extent(0), 1});
  require_extents("WeightNormBackward", "dv", dv, v.extents());
  require(v.size() == 0 || dv.data() != dweight.data(), ExitCode::bug,
          "WeightNormBackward: dv must not alias dweight");
}

template struct LayerNormForward<float>;
template struct LayerNormForward<bfloat16>;
template struct LayerNormBackward<float>;
template struct LayerNormBackward<bfloat16>;
template struct RmsNormForward<float>;
template struct RmsNormForward<bfloat16>;
template struct RmsNormBackward<float>;
template struct RmsNormBackward<bfloat16>;
template struct L2NormalizeForward<float>;
template struct L2NormalizeForward<bfloat16>;
template struct L2NormalizeBackward<float>;
template struct L2NormalizeBackward<bfloat16>;
template struct WeightNormForward<float>;
template struct WeightNormForward<bfloat16>;
template struct WeightNormBackward<float>;
template struct WeightNormBackward<bfloat16>;

}  // namespace dino
