// SPDX-License-Identifier: Apache-2.0
#include "model/vit.hpp"

#include "kernels/activation.hpp"
#include "kernels/attention.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/gemm.hpp"
#include "kernels/norm.hpp"

namespace dino {

using shard::Pass;
using shard::UnitView;

template <class T>
Vit<T>::Vit(Space const& space, VitShape const& shape, Store& store, int first_unit)
    : space_(space),
      shape_(shape),
      store_(store),
      first_unit_(first_unit),
      blocks_(static_cast<std::size_t>(shape.depth)) {}

template <class T>
TokenLayout Vit<T>::make_layout(std::span<ImageView const> images) const {
  TokenLayout layout;
  for (auto const& group : images) {
    layout.add(group.extent(0), group.extent(2) / shape_.patch_size,
               group.extent(3) / shape_.patch_size);
  }
  return layout;
}

template <class T>
View<T, 2> Vit<T>::forward(Arena& arena, std::span<ImageView const> images,
                           View<float const, 2> drop_path, Keep keep,
                           BlockObserver const& observer) {
  layout_ = make_layout(images);
  drop_path_ = drop_path;
  auto x = embed(arena, images);
  for (std::int64_t i = 0; i < shape_.depth; ++i) {
    auto& kept = blocks_[static_cast<std::size_t>(i)];
    auto const x_out = keep == Keep::yes ? arena.take<T, 2>(x.extents()) : x;
    auto const mark = arena.mark();
    kept.x_in = x;
    take_block(arena, kept, keep);
    if (keep == Keep::no) kept.x_mid = x;
    block(arena, i, kept, x_out, drop_path);
    if (keep == Keep::no) arena.release(mark);
    x = x_out;
    if (observer) observer(i, x);
  }
  return x;
}

template <class T>
void Vit<T>::take_block(Arena& arena, BlockKept& kept, Keep keep) const {
  auto const rows = layout_.rows();
  auto const dim = shape_.embed_dim;
  kept.norm1 = arena.take<T, 2>({rows, dim});
  kept.mean1 = arena.take<float, 1>({rows});
  kept.rstd1 = arena.take<float, 1>({rows});
  kept.qkv = arena.take<T, 2>({rows, 3 * dim});
  kept.attention = arena.take<T, 2>({rows, dim});
  kept.lse = arena.take<float, 2>({rows, shape_.num_heads});
  if (keep == Keep::yes) kept.x_mid = arena.take<T, 2>({rows, dim});
  kept.norm2 = arena.take<T, 2>({rows, dim});
  kept.mean2 = arena.take<float, 1>({rows});
  kept.rstd2 = arena.take<float, 1>({rows});
  kept.hidden = arena.take<T, 2>({rows, shape_.mlp_hidden});
  kept.gelu = keep == Keep::yes ? arena.take<T, 2>({rows, shape_.mlp_hidden}) : kept.hidden;
}

template <class T>
std::byte* Vit<T>::attention_scratch(Arena& arena) const {
  return arena
      .take<std::byte, 1>({attention_scratch_bytes<T>(layout_, shape_.num_heads,
                                                      shape_.embed_dim / shape_.num_heads)})
      .data();
}

/// x_mid = x_in + s1 Attn(LN1(x_in)),  x_out = x_mid + s2 MLP(LN2(x_mid)). Source: method.md 1.2.
template <class T>
void Vit<T>::block(Arena& arena, std::int64_t index, BlockKept& kept, View<T, 2> x_out,
                   View<float const, 2> drop_path) {
  ArenaScope const scope(arena);
  auto const p = store_.gather(block_unit(index), Pass::forward);
  auto const scale = [&](std::int64_t branch) {
    return drop_path ? drop_path.rows(branch, branch + 1).flat() : View<float const, 1>{};
  };
  auto const branch = arena.take<T, 2>(x_out.extents());

  run(space_, LayerNormForward<T>{.x = kept.x_in,
                                  .weight = p.vector("norm1.weight"),
                                  .bias = p.vector("norm1.bias"),
                                  .y = kept.norm1,
                                  .mean = kept.mean1,
                                  .rstd = kept.rstd1,
                                  .eps = shape_.norm_eps});
  run(space_, LinearForward<T>{.x = kept.norm1,
                               .weight = p.matrix("attn.qkv.weight"),
                               .bias = p.vector("attn.qkv.bias"),
                               .y = kept.qkv});
  run(space_, AttentionForward<T>{.qkv = kept.qkv,
                                  .layout = &layout_,
                                  .heads = shape_.num_heads,
                                  .out = kept.attention,
                                  .lse = kept.lse,
                                  .scratch = attention_scratch(arena)});
  run(space_, LinearForward<T>{.x = kept.attention,
                               .weight = p.matrix("attn.proj.weight"),
                               .bias = p.vector("attn.proj.bias"),
                               .y = branch});
  run(space_, ResidualAdd<T>{.x = kept.x_in,
                             .branch = branch,
                             .scale = scale(2 * index),
                             .layout = &layout_,
                             .y = kept.x_mid});

  run(space_, LayerNormForward<T>{.x = kept.x_mid,
                                  .weight = p.vector("norm2.weight"),
                                  .bias = p.vector("norm2.bias"),
                                  .y = kept.norm2,
                                  .mean = kept.mean2,
                                  .rstd = kept.rstd2,
                                  .eps = shape_.norm_eps});
  run(space_, LinearForward<T>{.x = kept.norm2,
                               .weight = p.matrix("mlp.fc1.weight"),
                               .bias = p.vector("mlp.fc1.bias"),
                               .y = kept.hidden});
  run(space_, GeluForward<T>{.x = kept.hidden, .y = kept.gelu});
  run(space_, LinearForward<T>{.x = kept.gelu,
                               .weight = p.matrix("mlp.fc2.weight"),
                               .bias = p.vector("mlp.fc2.bias"),
                               .y = branch});
  run(space_, ResidualAdd<T>{.x = kept.x_mid,
                             .branch = branch,
                             .scale = scale(2 * index + 1),
                             .layout = &layout_,
                             .y = x_out});
  store_.release(block_unit(index), Pass::forward);
}

template <class T>
void Vit<T>::backward(Arena& arena, std::span<ImageView const> images, View<T, 2> dtokens,
                      typename Store::Last last) {
  for (std::int64_t i = shape_.depth - 1; i >= 0; --i) block_backward(arena, i, dtokens, last);
  embed_backward(arena, images, dtokens, last);
}

/// Gradient that enters a residual branch: dx times the branch's drop-path factors.
template <class T>
View<T const, 2> Vit<T>::branch_gradient(View<T const, 2> dx, std::int64_t branch,
                                         View<T, 2> scratch) const {
  if (!drop_path_) return dx;
  run(space_, ScaleImages<T>{.x = dx,
                             .scale = drop_path_.rows(branch, branch + 1).flat(),
                             .layout = &layout_,
                             .y = scratch});
  return scratch;
}

template <class T>
void Vit<T>::block_backward(Arena& arena, std::int64_t index, View<T, 2> dx,
                            typename Store::Last last) {
  ArenaScope const scope(arena);
  auto const& kept = blocks_[static_cast<std::size_t>(index)];
  auto const p = store_.gather(block_unit(index), Pass::backward);
  auto const g = store_.gradient(block_unit(index));
  auto const rows = dx.extent(0);
  auto const narrow = arena.take<T, 2>(dx.extents());
  auto const wide = arena.take<T, 2>({rows, std::max(shape_.mlp_hidden, 3 * shape_.embed_dim)});

  {  // MLP
    auto const dbranch = branch_gradient(dx, 2 * index + 1, narrow);
    auto const dhidden = View<T, 2>{wide.data(), {rows, shape_.mlp_hidden}};
    run(space_, LinearBackwardWeight<T>{.x = kept.gelu,
                                        .dy = dbranch,
                                        .dweight = g.matrix("mlp.fc2.weight"),
                                        .dbias = g.vector("mlp.fc2.bias")});
    run(space_,
        LinearBackwardInput<T>{.dy = dbranch, .weight = p.matrix("mlp.fc2.weight"), .dx = dhidden});
    run(space_, GeluBackward<T>{.dy = dhidden, .x = kept.hidden, .dx = dhidden});
    run(space_, LinearBackwardWeight<T>{.x = kept.norm2,
                                        .dy = dhidden,
                                        .dweight = g.matrix("mlp.fc1.weight"),
                                        .dbias = g.vector("mlp.fc1.bias")});
    run(space_,
        LinearBackwardInput<T>{.dy = dhidden, .weight = p.matrix("mlp.fc1.weight"), .dx = narrow});
    run(space_, LayerNormBackward<T>{.dy = narrow,
                                     .x = kept.x_mid,
                                     .weight = p.vector("norm2.weight"),
                                     .mean = kept.mean2,
                                     .rstd = kept.rstd2,
                                     .dx = dx,
                                     .dweight = g.vector("norm2.weight"),
                                     .dbias = g.vector("norm2.bias"),
                                     .accumulate = true});
  }
  {  // attention
    auto const dbranch = branch_gradient(dx, 2 * index, narrow);
    auto const dattention = arena.take<T, 2>(dx.extents());
    auto const dqkv = View<T, 2>{wide.data(), {rows, 3 * shape_.embed_dim}};
    run(space_, LinearBackwardWeight<T>{.x = kept.attention,
                                        .dy = dbranch,
                                        .dweight = g.matrix("attn.proj.weight"),
                                        .dbias = g.vector("attn.proj.bias")});
    run(space_, LinearBackwardInput<T>{
                    .dy = dbranch, .weight = p.matrix("attn.proj.weight"), .dx = dattention});
    run(space_, AttentionBackward<T>{.qkv = kept.qkv,
                                     .out = kept.attention,
                                     .dout = dattention,
                                     .lse = kept.lse,
                                     .layout = &layout_,
                                     .heads = shape_.num_heads,
                                     .dqkv = dqkv,
                                     .scratch = attention_scratch(arena)});
    run(space_, LinearBackwardWeight<T>{.x = kept.norm1,
                                        .dy = dqkv,
                                        .dweight = g.matrix("attn.qkv.weight"),
                                        .dbias = g.vector("attn.qkv.bias")});
    run(space_,
        LinearBackwardInput<T>{.dy = dqkv, .weight = p.matrix("attn.qkv.weight"), .dx = narrow});
    run(space_, LayerNormBackward<T>{.dy = narrow,
                                     .x = kept.x_in,
                                     .weight = p.vector("norm1.weight"),
                                     .mean = kept.mean1,
                                     .rstd = kept.rstd1,
                                     .dx = dx,
                                     .dweight = g.vector("norm1.weight"),
                                     .dbias = g.vector("norm1.bias"),
                                     .accumulate = true});
  }
  store_.reduce(block_unit(index), last);
  store_.release(block_unit(index), Pass::backward);
}

template <class T>
View<T, 2> Vit<T>::normalize(Arena& arena, View<T const, 2> rows, Keep keep) {
  auto const y = arena.take<T, 2>(rows.extents());
  norm_ = {};
  if (keep == Keep::yes) {
    norm_ = {.x = rows,
             .mean = arena.take<float, 1>({rows.extent(0)}),
             .rstd = arena.take<float, 1>({rows.extent(0)})};
  }
  auto const p = store_.gather(norm_unit(), Pass::forward);
  run(space_, LayerNormForward<T>{.x = rows,
                                  .weight = p.vector("weight"),
                                  .bias = p.vector("bias"),
                                  .y = y,
                                  .mean = norm_.mean,
                                  .rstd = norm_.rstd,
                                  .eps = shape_.norm_eps});
  store_.release(norm_unit(), Pass::forward);
  return y;
}

template <class T>
void Vit<T>::normalize_backward(View<T const, 2> dy, View<T, 2> drows, typename Store::Last last) {
  auto const p = store_.gather(norm_unit(), Pass::backward);
  auto const g = store_.gradient(norm_unit());
  run(space_, LayerNormBackward<T>{.dy = dy,
                                   .x = norm_.x,
                                   .weight = p.vector("weight"),
                                   .mean = norm_.mean,
                                   .rstd = norm_.rstd,
                                   .dx = drows,
                                   .dweight = g.vector("weight"),
                                   .dbias = g.vector("bias")});
  store_.reduce(norm_unit(), last);
  store_.release(norm_unit(), Pass::backward);
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
