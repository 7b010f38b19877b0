// SPDX-License-Identifier: Apache-2.0
#include "kernels/rope.hpp"

#include "base/error.hpp"
#include "kernels/check.hpp"

namespace dino {

std::int64_t rope_table_size(TokenLayout const& layout, std::int64_t head_dim) {
  std::int64_t size = 0;
  for (auto const& segment : layout.segments())
    size += (segment.grid_height + segment.grid_width) * 2 * (head_dim / 4);
  return size;
}

template <class T>
void RopeRotate<T>::check() const {
  require(layout != nullptr, ExitCode::bug, "RopeRotate: layout is missing");
  auto const columns = qkv.extent(1);
  require(heads >= 1 && columns > 0 && columns % (12 * heads) == 0, ExitCode::bug,
          "RopeRotate: qkv has {} columns, which is not 12 times a multiple of {} heads", columns,
          heads);
  require_extents("RopeRotate", "qkv", qkv, {layout->rows(), columns});
  require_extents("RopeRotate", "table", table, {rope_table_size(*layout, columns / (3 * heads))});
}

template struct RopeRotate<float>;
template struct RopeRotate<bfloat16>;

}  // namespace dino
