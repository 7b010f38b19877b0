// SPDX-License-Identifier: Apache-2.0
#include "model/vit.hpp"

#include "base/error.hpp"
#include "kernels/attention.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/residual.hpp"

namespace dino {

using shard::Pass;
using shard::UnitView;

template <class T>
Vit<T>::Vit(Space const& space, VitShape const& shape, Store& store, int first_unit)
    : space_(space),
      shape_(shape),
      store_(store),
      first_unit_(first_unit),
      blocks_(static_cast<std::size_t>(shape.depth)) {
  if (shape.rope) rope_periods_ = shape.rope->periods(shape.head_dim());
}

template <class T>
TokenLayout Vit<T>::make_layout(std::span<ImageView const> images) const {
  TokenLayout layout;
  auto const p = shape_.patch_size;
  for (auto const& group : images) {
    auto const height = group.extent(2), width = group.extent(3);
    require(!shape_.whole_patches || (height % p == 0 && width % p == 0), ExitCode::usage,
            "images of {} x {} pixels have no whole number of patches of {} pixels, which DINOv2 "
            "asks for. Use sides that are multiples of {}",
            height, width, p, p);
    layout.add(group.extent(0), height / p, width / p, shape_.prefix());
  }
  return layout;
}

template <class T>
View<T, 2> Vit<T>::forward(Arena& arena, std::span<ImageView const> images, VitDraws const& draws,
                           Keep keep, std::span<MaskView const> masks,
                           BlockObserver const& observer) {
  layout_ = make_layout(images);
  drop_path_ = draws.drop_path;
  masks_.assign(masks.begin(), masks.end());
  if (shape_.rope) take_rope(arena, draws.rope);
  auto x = embed(arena, images);
  for (std::int64_t i = 0; i < shape_.depth; ++i) {
    x = block(arena, i, x, keep);
    if (observer) observer(i, x);
  }
  return x;
}

template <class T>
void Vit<T>::backward(Arena& arena, std::span<ImageView const> images, View<T, 2> dtokens,
                      typename Store::Last last) {
  for (std::int64_t i = shape_.depth - 1; i >= 0; --i) block_backward(arena, i, dtokens, last);
  embed_backward(arena, images, dtokens, last);
}

template <class T>
View<T, 2> Vit<T>::features(Arena& arena, std::span<ImageView const> images,
                            View<float const, 2> drop_path, Mode, Keep keep) {
  auto const tokens = forward(arena, images, drop_path, keep);
  return normalize(arena, class_tokens(arena, tokens), keep);
}

template <class T>
void Vit<T>::features_backward(Arena& arena, std::span<ImageView const> images,
                               View<T, 2> dfeatures, Last last) {
  normalize_backward(dfeatures, dfeatures, last);
  backward(arena, images, class_tokens_backward(arena, dfeatures), last);
}

template <class T>
std::int64_t Vit<T>::evaluation_bytes(std::int64_t images, std::int64_t side) const {
  return dry_evaluation_bytes<T>(
      vit_units(shape_, ""), dry_images(images, shape_.channels, side), processor_of(space_),
      [this](Space const& dry, Store& store) { return Vit(dry, shape_, store, 0); });
}

template <class T>
View<T, 2> Vit<T>::gather_rows(Arena& arena, View<T const, 2> tokens,
                               View<std::int32_t const, 1> rows) const {
  auto const out = arena.take<T, 2>({rows.extent(0), shape_.embed_dim});
  run(space_, RowGather<T>{.x = tokens, .rows = rows, .y = out});
  return out;
}

template <class T>
View<T, 2> Vit<T>::scatter_rows(Arena& arena, View<T const, 2> drows,
                                View<std::int32_t const, 1> rows) const {
  auto const tokens = arena.take<T, 2>({layout_.rows(), shape_.embed_dim});
  run(space_, Fill<T>{.y = tokens.flat()});
  run(space_, RowScatterAdd<T>{.x = drows, .rows = rows, .y = tokens});
  return tokens;
}

template <class T>
View<T, 2> Vit<T>::class_tokens(Arena& arena, View<T const, 2> tokens) const {
  auto const rows = arena.take<T, 2>({layout_.images(), shape_.embed_dim});
  run(space_, ClassTokenGather<T>{.tokens = tokens, .layout = &layout_, .rows = rows});
  return rows;
}

template <class T>
View<T, 2> Vit<T>::class_tokens_backward(Arena& arena, View<T const, 2> drows) const {
  auto const tokens = arena.take<T, 2>({layout_.rows(), shape_.embed_dim});
  run(space_, ClassTokenScatter<T>{.rows = drows, .layout = &layout_, .tokens = tokens});
  return tokens;
}

template <class T>
View<float, 4> Vit<T>::last_attention(Arena& arena) const {
  auto const& segment = layout_.segments().front();
  auto const out =
      arena.take<float, 4>({segment.images, shape_.num_heads, segment.tokens(), segment.tokens()});
  run(space_, AttentionProbabilities<T>{.qkv = blocks_.back().qkv,
                                        .layout = &layout_,
                                        .heads = shape_.num_heads,
                                        .probabilities = out});
  return out;
}

template class Vit<float>;
template class Vit<bfloat16>;

}  // namespace dino
