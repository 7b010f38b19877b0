// SPDX-License-Identifier: Apache-2.0
#include "kernels/batch_norm.hpp"

#include "base/error.hpp"
#include "kernels/check.hpp"

namespace dino {

template <class T>
void BatchMoments<T>::check() const {
  require_extents("BatchMoments", "x", x, x.extents());
  require_extents("BatchMoments", "sums", sums, {2, x.extent(1)});
}

template <class T>
void BatchNormForward<T>::check() const {
  auto const width = x.extent(1);
  require_extents("BatchNormForward", "x", x, x.extents());
  require_extents("BatchNormForward", "mean", mean, {width});
  require_extents("BatchNormForward", "rstd", rstd, {width});
  require_extents("BatchNormForward", "weight", weight, {width});
  require_extents("BatchNormForward", "bias", bias, {width});
  require_extents_or_none("BatchNormForward", "residual", residual, x.extents());
  require_extents("BatchNormForward", "y", y, x.extents());
}

template <class T>
void BatchNormBackwardSums<T>::check() const {
  auto const width = x.extent(1);
  require_extents("BatchNormBackwardSums", "x", x, x.extents());
  require_extents("BatchNormBackwardSums", "dy", dy, x.extents());
  require_extents_or_none("BatchNormBackwardSums", "y", y, x.extents());
  require_extents("BatchNormBackwardSums", "mean", mean, {width});
  require_extents("BatchNormBackwardSums", "rstd", rstd, {width});
  require_extents("BatchNormBackwardSums", "sums", sums, {2, width});
  require_extents("BatchNormBackwardSums", "dweight", dweight, {width});
  require_extents("BatchNormBackwardSums", "dbias", dbias, {width});
}

template <class T>
void BatchNormBackward<T>::check() const {
  auto const width = x.extent(1);
  require_extents("BatchNormBackward", "x", x, x.extents());
  require_extents("BatchNormBackward", "dy", dy, x.extents());
  require_extents_or_none("BatchNormBackward", "y", y, x.extents());
  require_extents("BatchNormBackward", "mean", mean, {width});
  require_extents("BatchNormBackward", "rstd", rstd, {width});
  require_extents("BatchNormBackward", "weight", weight, {width});
  require_extents("BatchNormBackward", "sums", sums, {2, width});
  require_extents("BatchNormBackward", "dx", dx, x.extents());
  require_extents_or_none("BatchNormBackward", "dresidual", dresidual, x.extents());
  require(x.size() == 0 || rows >= 1, ExitCode::bug,
          "BatchNormBackward: {} rows of the global batch, with some on this rank", rows);
}

template struct BatchMoments<float>;
template struct BatchMoments<bfloat16>;
template struct BatchNormForward<float>;
template struct BatchNormForward<bfloat16>;
template struct BatchNormBackwardSums<float>;
template struct BatchNormBackwardSums<bfloat16>;
template struct BatchNormBackward<float>;
template struct BatchNormBackward<bfloat16>;

}  // namespace dino
