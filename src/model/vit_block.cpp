// SPDX-License-Identifier: Apache-2.0
// The block of the ViT, forward and backward (method.md 1.2, 1.8).
#include "kernels/activation.hpp"
#include "kernels/attention.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/gemm.hpp"
#include "kernels/residual.hpp"
#include "model/vit.hpp"

namespace dino {

using shard::Pass;
using shard::UnitView;

namespace {

/// Weight of the feed-forward branch's first layer, [ffn_columns, D]. DINOv3's two matrices lie one
/// behind the other in the unit (see vit_units): they are one matrix, and one product.
template <class U>
View<U, 2> first_weight(VitShape const& shape, UnitView<U> const& p) {
  if (shape.ffn == Ffn::mlp) return p.matrix("mlp.fc1.weight");
  if (shape.ffn == Ffn::swiglu_packed) return p.matrix("mlp.w12.weight");
  auto const gate = p.matrix("mlp.w1.weight");
  assert(p.matrix("mlp.w2.weight").data() == gate.data() + gate.size());
  return {gate.data(), {shape.ffn_columns(), shape.embed_dim}};
}

std::string second_layer(VitShape const& shape) {
  return shape.ffn == Ffn::mlp ? "mlp.fc2" : "mlp.w3";
}

/// Bias of the first layer, where it is one vector.
template <class U>
View<U, 1> first_bias(VitShape const& shape, UnitView<U> const& p) {
  return p.vector(shape.ffn == Ffn::mlp ? "mlp.fc1.bias" : "mlp.w12.bias");
}

/// Whether the first layer's bias is two vectors, w1.bias and w2.bias.
bool split_bias(VitShape const& shape) {
  return shape.ffn == Ffn::swiglu && shape.ffn_bias;
}

}  // namespace

template <class T>
std::byte* Vit<T>::attention_scratch(Arena& arena, TokenLayout const& layout) const {
  return arena
      .take<std::byte, 1>({attention_scratch_bytes<T>(
          processor_of(space_), layout, shape_.num_heads, shape_.embed_dim / shape_.num_heads)})
      .data();
}

/// The images whose factor is not 0. A dry run that has no factors to look at keeps all: the most
/// that a run can need.
template <class T>
auto Vit<T>::branch_rows(Arena& arena, std::int64_t branch) const -> BranchRows {
  if (!drop_path_) return {.layout = layout_, .rows = {}, .scale = {}};
  if (drop_path_.data() == no_memory<float const>()) {
    auto const all = layout_.rows();
    return {.layout = layout_,
            .rows = arena.take<std::int32_t, 1>({all}),
            .scale = arena.take<float, 1>({all})};
  }
  std::vector<std::int32_t> rows;
  std::vector<float> scale;
  BranchRows out;
  for (auto const& segment : layout_.segments()) {
    std::int64_t left = 0;
    for (std::int64_t i = 0; i < segment.images; ++i) {
      auto const factor = drop_path_.row(branch)[segment.first_image + i];
      if (factor == 0) continue;
      ++left;
      auto const first = segment.first_row + i * segment.tokens();
      for (std::int64_t t = 0; t < segment.tokens(); ++t)
        rows.push_back(static_cast<std::int32_t>(first + t));
      scale.insert(scale.end(), static_cast<std::size_t>(segment.tokens()), factor);
    }
    out.layout.add(left, segment.grid_height, segment.grid_width, segment.prefix);
  }
  auto const count = static_cast<std::int64_t>(rows.size());
  auto const rows_there = arena.take<std::int32_t, 1>({count});
  auto const scale_there = arena.take<float, 1>({count});
  copy_to_space(space_, rows_there, std::span<std::int32_t const>(rows));
  copy_to_space(space_, scale_there, std::span<float const>(scale));
  out.rows = rows_there;
  out.scale = scale_there;
  return out;
}

/// The norm of the rows of the branch.
template <class T>
void Vit<T>::enter_branch(Arena& arena, BranchKept& kept, View<T, 2> x, UnitView<T const> const& p,
                          std::string const& norm) const {
  auto const rows = kept.where.layout.rows();
  kept.x = x;
  kept.norm = arena.take<T, 2>({rows, shape_.embed_dim});
  if (shape_.norm == Norm::layer) kept.mean = arena.take<float, 1>({rows});
  kept.rstd = arena.take<float, 1>({rows});
  View<T const, 2> from = x;
  if (kept.where.rows) {
    run(space_, RowGather<T>{.x = x, .rows = kept.where.rows, .y = kept.norm});
    from = kept.norm;
  }
  norm_forward(p, norm, from, kept.norm, kept.mean, kept.rstd);
}

template <class T>
void Vit<T>::take_attention(Arena& arena, BlockKept& kept) const {
  auto const rows = kept.attention.where.layout.rows();
  kept.qkv = arena.take<T, 2>({rows, 3 * shape_.embed_dim});
  kept.heads = arena.take<T, 2>({rows, shape_.embed_dim});
  kept.lse = arena.take<float, 2>({rows, shape_.num_heads});
}

template <class T>
void Vit<T>::take_ffn(Arena& arena, BlockKept& kept, Keep keep) const {
  auto const rows = kept.ffn.where.layout.rows();
  bool const in_place = shape_.ffn == Ffn::mlp && keep == Keep::no;
  kept.hidden = arena.take<T, 2>({rows, shape_.ffn_columns()});
  kept.activation = in_place ? kept.hidden : arena.take<T, 2>({rows, shape_.mlp_hidden});
}

/// x <- x + s1 γ1 Attn(LN1(x)), x <- x + s2 γ2 FFN(LN2(x)); without Keep in place.
/// Source: method.md 1.2.
template <class T>
View<T, 2> Vit<T>::block(Arena& arena, std::int64_t index, View<T, 2> x, Keep keep) {
  auto& kept = blocks_[static_cast<std::size_t>(index)];
  auto const p = store_.gather(block_unit(index), Pass::forward);
  auto const x_mid = keep == Keep::yes ? arena.take<T, 2>(x.extents()) : x;
  auto const x_out = keep == Keep::yes ? arena.take<T, 2>(x.extents()) : x;
  auto const block_mark = arena.mark();
  auto const through = [&](BranchKept& branch, std::string const& gamma, View<T, 2> y,
                           auto const& compute) {
    // Taken last: without LayerScale backward does not look at it, and it is freed at once.
    auto const mark = arena.mark();
    branch.out = arena.take<T, 2>({branch.where.layout.rows(), shape_.embed_dim});
    compute();
    run(space_, ResidualForward<T>{.x = branch.x,
                                   .branch = branch.out,
                                   .gamma = p.vector(gamma),
                                   .rows = branch.where.rows,
                                   .scale = branch.where.scale,
                                   .y = y});
    if (!shape_.layer_scale) arena.release(mark);
  };
  kept.attention.where = branch_rows(arena, 2 * index);
  enter_branch(arena, kept.attention, x, p, "norm1");
  take_attention(arena, kept);
  through(kept.attention, "ls1.gamma", x_mid, [&] { attention_branch(arena, index, kept, p); });
  kept.ffn.where = branch_rows(arena, 2 * index + 1);
  enter_branch(arena, kept.ffn, x_mid, p, "norm2");
  take_ffn(arena, kept, keep);
  through(kept.ffn, "ls2.gamma", x_out, [&] { ffn_branch(arena, kept, p); });
  if (keep == Keep::no) arena.release(block_mark);
  store_.release(block_unit(index), Pass::forward);
  return x_out;
}

/// The bias of queries, keys and values; empty: none.
template <class T>
View<T const, 1> Vit<T>::qkv_bias(Arena& arena, UnitView<T const> const& p) const {
  auto const bias = p.vector("attn.qkv.bias");
  if (!bias || !shape_.mask_k_bias) return bias;
  auto const masked = arena.take<T, 1>(bias.extents());
  run(space_, Cast<T, T>{.x = bias, .y = masked});
  run(space_, Fill<T>{.y = masked.rows(shape_.embed_dim, 2 * shape_.embed_dim)});
  return masked;
}

template <class T>
void Vit<T>::attention_branch(Arena& arena, std::int64_t index, BlockKept const& kept,
                              UnitView<T const> const& p) const {
  ArenaScope const scope(arena);
  auto const& layout = kept.attention.where.layout;
  run(space_, LinearForward<T>{.x = kept.attention.norm,
                               .weight = p.matrix("attn.qkv.weight"),
                               .bias = qkv_bias(arena, p),
                               .y = kept.qkv});
  rotate(kept.qkv, layout, index, Rotation::forward);
  run(space_, AttentionForward<T>{.qkv = kept.qkv,
                                  .layout = &layout,
                                  .heads = shape_.num_heads,
                                  .out = kept.heads,
                                  .lse = kept.lse,
                                  .scratch = attention_scratch(arena, layout)});
  run(space_, LinearForward<T>{.x = kept.heads,
                               .weight = p.matrix("attn.proj.weight"),
                               .bias = p.vector("attn.proj.bias"),
                               .y = kept.attention.out});
}

template <class T>
void Vit<T>::ffn_branch(Arena& arena, BlockKept const& kept, UnitView<T const> const& p) const {
  ArenaScope const scope(arena);
  auto bias = first_bias(shape_, p);
  if (split_bias(shape_)) {
    auto const h = shape_.mlp_hidden;
    auto const joined = arena.take<T, 1>({2 * h});
    run(space_, Cast<T, T>{.x = p.vector("mlp.w1.bias"), .y = joined.rows(0, h)});
    run(space_, Cast<T, T>{.x = p.vector("mlp.w2.bias"), .y = joined.rows(h, 2 * h)});
    bias = joined;
  }
  run(space_,
      LinearForward<T>{
          .x = kept.ffn.norm, .weight = first_weight(shape_, p), .bias = bias, .y = kept.hidden});
  if (shape_.ffn == Ffn::mlp) {
    run(space_, GeluForward<T>{.x = kept.hidden, .y = kept.activation});
  } else {
    run(space_, SwigluForward<T>{.x = kept.hidden, .y = kept.activation});
  }
  auto const second = second_layer(shape_);
  run(space_, LinearForward<T>{.x = kept.activation,
                               .weight = p.matrix(second + ".weight"),
                               .bias = p.vector(second + ".bias"),
                               .y = kept.ffn.out});
}

template <class T>
void Vit<T>::block_backward(Arena& arena, std::int64_t index, View<T, 2> dx,
                            typename Store::Last last) {
  auto const& kept = blocks_[static_cast<std::size_t>(index)];
  auto const p = store_.gather(block_unit(index), Pass::backward);
  auto const g = store_.gradient(block_unit(index));
  auto const through = [&](BranchKept const& branch, std::string const& gamma,
                           std::string const& norm, auto const& branch_backward) {
    ArenaScope const scope(arena);
    std::array<std::int64_t, 2> const extents{branch.where.layout.rows(), shape_.embed_dim};
    auto const dbranch = arena.take<T, 2>(extents);
    auto const dnorm = arena.take<T, 2>(extents);
    run(space_, ResidualBackward<T>{.dy = dx,
                                    .branch = branch.out,
                                    .gamma = p.vector(gamma),
                                    .rows = branch.where.rows,
                                    .scale = branch.where.scale,
                                    .dbranch = dbranch,
                                    .dgamma = g.vector(gamma)});
    branch_backward(dbranch, dnorm);
    leave_branch_backward(arena, branch, p, g, norm, dnorm, dx);
  };
  through(kept.ffn, "ls2.gamma", "norm2", [&](View<T, 2> dbranch, View<T, 2> dnorm) {
    ffn_backward(arena, kept, p, g, dbranch, dnorm);
  });
  through(kept.attention, "ls1.gamma", "norm1", [&](View<T, 2> dbranch, View<T, 2> dnorm) {
    attention_backward(arena, index, kept, p, g, dbranch, dnorm);
  });
  store_.reduce(block_unit(index), last);
  store_.release(block_unit(index), Pass::backward);
}

/// dx += the gradient through the norm of the branch's rows.
template <class T>
void Vit<T>::leave_branch_backward(Arena& arena, BranchKept const& kept, UnitView<T const> const& p,
                                   UnitView<float> const& g, std::string const& norm,
                                   View<T const, 2> dnorm, View<T, 2> dx) const {
  ArenaScope const scope(arena);
  bool const some = static_cast<bool>(kept.where.rows);
  View<T, 2> x = kept.x, drows = dx;
  if (some) {
    x = arena.take<T, 2>(dnorm.extents());
    drows = arena.take<T, 2>(dnorm.extents());
    run(space_, RowGather<T>{.x = kept.x, .rows = kept.where.rows, .y = x});
  }
  norm_backward(p, g, norm,
                {.dy = dnorm,
                 .x = x,
                 .weight = {},
                 .mean = kept.mean,
                 .rstd = kept.rstd,
                 .dx = drows,
                 .dweight = {},
                 .dbias = {},
                 .accumulate = !some});
  if (some) run(space_, RowScatterAdd<T>{.x = drows, .rows = kept.where.rows, .y = dx});
}

template <class T>
void Vit<T>::ffn_backward(Arena& arena, BlockKept const& kept, UnitView<T const> const& p,
                          UnitView<float> const& g, View<T, 2> dbranch, View<T, 2> dnorm) const {
  bool const mlp = shape_.ffn == Ffn::mlp;
  auto const second = second_layer(shape_);
  auto const dactivation = arena.take<T, 2>({dbranch.extent(0), shape_.mlp_hidden});
  auto const dhidden =
      mlp ? dactivation : arena.take<T, 2>({dbranch.extent(0), shape_.ffn_columns()});
  run(space_, LinearBackwardWeight<T>{.x = kept.activation,
                                      .dy = dbranch,
                                      .dweight = g.matrix(second + ".weight"),
                                      .dbias = g.vector(second + ".bias")});
  run(space_, LinearBackwardInput<T>{
                  .dy = dbranch, .weight = p.matrix(second + ".weight"), .dx = dactivation});
  activation_backward(arena, kept, g, dactivation, dhidden);
  run(space_,
      LinearBackwardWeight<T>{
          .x = kept.ffn.norm, .dy = dhidden, .dweight = first_weight(shape_, g), .dbias = {}});
  run(space_,
      LinearBackwardInput<T>{.dy = dhidden, .weight = first_weight(shape_, p), .dx = dnorm});
}

/// The gradient before the activation, and that of the first layer's bias, which is its sum.
template <class T>
void Vit<T>::activation_backward(Arena& arena, BlockKept const& kept, UnitView<float> const& g,
                                 View<T const, 2> dactivation, View<T, 2> dhidden) const {
  auto dbias = first_bias(shape_, g);
  if (split_bias(shape_)) {
    dbias = arena.take<float, 1>({shape_.ffn_columns()});
    run(space_, Fill<float>{.y = dbias});
  }
  if (shape_.ffn == Ffn::mlp) {
    run(space_,
        GeluBackward<T>{.dy = dactivation, .x = kept.hidden, .dx = dhidden, .dbias = dbias});
  } else {
    run(space_,
        SwigluBackward<T>{.dy = dactivation, .x = kept.hidden, .dx = dhidden, .dbias = dbias});
  }
  if (!split_bias(shape_)) return;
  auto const h = shape_.mlp_hidden;
  run(space_, Axpy<float>{.a = 1, .x = dbias.rows(0, h), .y = g.vector("mlp.w1.bias")});
  run(space_, Axpy<float>{.a = 1, .x = dbias.rows(h, 2 * h), .y = g.vector("mlp.w2.bias")});
}

template <class T>
void Vit<T>::attention_backward(Arena& arena, std::int64_t index, BlockKept const& kept,
                                UnitView<T const> const& p, UnitView<float> const& g,
                                View<T, 2> dbranch, View<T, 2> dnorm) const {
  auto const& layout = kept.attention.where.layout;
  auto const dheads = arena.take<T, 2>(dbranch.extents());
  auto const dqkv = arena.take<T, 2>({layout.rows(), 3 * shape_.embed_dim});
  run(space_, LinearBackwardWeight<T>{.x = kept.heads,
                                      .dy = dbranch,
                                      .dweight = g.matrix("attn.proj.weight"),
                                      .dbias = g.vector("attn.proj.bias")});
  run(space_,
      LinearBackwardInput<T>{.dy = dbranch, .weight = p.matrix("attn.proj.weight"), .dx = dheads});
  run(space_, AttentionBackward<T>{.qkv = kept.qkv,
                                   .out = kept.heads,
                                   .dout = dheads,
                                   .lse = kept.lse,
                                   .layout = &layout,
                                   .heads = shape_.num_heads,
                                   .dqkv = dqkv,
                                   .scratch = attention_scratch(arena, layout)});
  rotate(dqkv, layout, index, Rotation::backward);
  auto const dbias = g.vector("attn.qkv.bias");
  run(space_, LinearBackwardWeight<T>{.x = kept.attention.norm,
                                      .dy = dqkv,
                                      .dweight = g.matrix("attn.qkv.weight"),
                                      .dbias = dbias});
  if (dbias && shape_.mask_k_bias)
    run(space_, Fill<float>{.y = dbias.rows(shape_.embed_dim, 2 * shape_.embed_dim)});
  run(space_,
      LinearBackwardInput<T>{.dy = dqkv, .weight = p.matrix("attn.qkv.weight"), .dx = dnorm});
}

template class Vit<float>;
template class Vit<bfloat16>;

}  // namespace dino
