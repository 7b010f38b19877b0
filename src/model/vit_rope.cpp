// SPDX-License-Identifier: Apache-2.0
// Rotary positions of the ViT (method.md 1.5).
#include "model/vit.hpp"

namespace dino {

/// The tables of a pass: one for each block where coordinates are drawn, else one for all of them.
template <class T>
void Vit<T>::take_rope(Arena& arena, View<RopeDraw const, 2> draws) {
  auto const blocks = draws ? shape_.depth : 1;
  rope_tables_ = arena.take<float, 2>({blocks, rope_table_size(layout_, shape_.head_dim())});
  if (is_dry(space_)) return;
  assert(!draws || draws.extent(1) >= static_cast<std::int64_t>(layout_.segments().size()));
  rope_staging_.resize(static_cast<std::size_t>(rope_tables_.size()));
  auto rest = std::span(rope_staging_);
  for (std::int64_t block = 0; block < blocks; ++block) {
    auto const* draw = draws ? draws.row(block) : nullptr;
    for (auto const& segment : layout_.segments()) {
      auto const lines = static_cast<std::size_t>(segment.grid_height + segment.grid_width);
      auto const count = lines * 2 * rope_periods_.size();
      fill_rope_table(shape_.rope->normalize, rope_periods_, segment.grid_height,
                      segment.grid_width, draws ? *draw++ : RopeDraw{}, rest.first(count));
      rest = rest.subspan(count);
    }
  }
  copy_to_space(space_, rope_tables_, std::span<float const>(rope_staging_));
}

template <class T>
View<float const, 1> Vit<T>::rope_table(std::int64_t block) const {
  auto const row = rope_tables_.extent(0) > 1 ? block : 0;
  return rope_tables_.rows(row, row + 1).flat();
}

/// q and k of a block's rows, or their gradients back.
template <class T>
void Vit<T>::rotate(View<T, 2> qkv, TokenLayout const& layout, std::int64_t index,
                    Rotation rotation) const {
  if (!shape_.rope) return;
  run(space_, RopeRotate<T>{.qkv = qkv,
                            .layout = &layout,
                            .heads = shape_.num_heads,
                            .table = rope_table(index),
                            .rotation = rotation});
}

template class Vit<float>;
template class Vit<bfloat16>;

}  // namespace dino
