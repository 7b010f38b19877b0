// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.hpp"

#include "base/error.hpp"
#include "kernels/check.hpp"

namespace dino {

namespace {
void require_width(char const* operation, std::int64_t in) {
  require(in >= 1, ExitCode::bug, "{}: the inner extent is {}, at least 1 is needed", operation,
          in);
}
}  // namespace

template <class T, class Out>
void LinearForward<T, Out>::check() const {
  auto const rows = x.extent(0), in = x.extent(1), out = weight.extent(0);
  require_width("LinearForward", in);
  require_extents("LinearForward", "x", x, {rows, in});
  require_extents("LinearForward", "weight", weight, {out, in});
  require_extents_or_none("LinearForward", "bias", bias, {out});
  require_extents("LinearForward", "y", y, {rows, out});
}

template <class T>
void LinearBackwardInput<T>::check() const {
  auto const rows = dy.extent(0), in = weight.extent(1), out = weight.extent(0);
  require_width("LinearBackwardInput", out);
  require_extents("LinearBackwardInput", "dy", dy, {rows, out});
  require_extents("LinearBackwardInput", "weight", weight, {out, in});
  require_extents("LinearBackwardInput", "dx", dx, {rows, in});
}

template <class T>
void LinearBackwardWeight<T>::check() const {
  auto const rows = x.extent(0), in = x.extent(1), out = dy.extent(1);
  require_extents("LinearBackwardWeight", "x", x, {rows, in});
  require_extents("LinearBackwardWeight", "dy", dy, {rows, out});
  require_extents("LinearBackwardWeight", "dweight", dweight, {out, in});
  require_extents_or_none("LinearBackwardWeight", "dbias", dbias, {out});
}

template struct LinearForward<float, float>;
template struct LinearForward<bfloat16, bfloat16>;
template struct LinearForward<bfloat16, float>;
template struct LinearBackwardInput<float>;
template struct LinearBackwardInput<bfloat16>;
template struct LinearBackwardWeight<float>;
template struct LinearBackwardWeight<bfloat16>;

}  // namespace dino
