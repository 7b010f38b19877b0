// SPDX-License-Identifier: Apache-2.0
// The norms of the ViT: one of two kinds in the blocks, and up to three at the end (method.md 1.6).
#include "model/vit.hpp"

namespace dino {

using shard::Pass;
using shard::UnitView;

template <class T>
void Vit<T>::norm_forward(UnitView<T const> const& p, std::string const& name, View<T const, 2> x,
                          View<T, 2> y, View<float, 1> mean, View<float, 1> rstd) const {
  auto const weight = p.vector(name + ".weight");
  if (shape_.norm == Norm::rms) {
    run(space_,
        RmsNormForward<T>{.x = x, .weight = weight, .y = y, .rstd = rstd, .eps = shape_.norm_eps});
  } else {
    run(space_, LayerNormForward<T>{.x = x,
                                    .weight = weight,
                                    .bias = p.vector(name + ".bias"),
                                    .y = y,
                                    .mean = mean,
                                    .rstd = rstd,
                                    .eps = shape_.norm_eps});
  }
}

/// Gradients of either kind, for the operands that both share.
template <class T>
void Vit<T>::norm_backward(UnitView<T const> const& p, UnitView<float> const& g,
                           std::string const& name, LayerNormBackward<T> const& operands) const {
  auto op = operands;
  op.weight = p.vector(name + ".weight");
  op.dweight = g.vector(name + ".weight");
  op.dbias = g.vector(name + ".bias");
  if (shape_.norm == Norm::layer) return run(space_, op);
  run(space_, RmsNormBackward<T>{.dy = op.dy,
                                 .x = op.x,
                                 .weight = op.weight,
                                 .rstd = op.rstd,
                                 .dx = op.dx,
                                 .dweight = op.dweight,
                                 .accumulate = op.accumulate});
}

template <class T>
template <class F>
void Vit<T>::for_norms(std::span<RowGroup const> groups, std::int64_t rows, F const& f) const {
  auto const name = [&](TokenKind kind) -> std::string {
    if (kind == TokenKind::local_prefix && shape_.untie_global_and_local_cls_norm)
      return "local_cls_norm";
    return kind != TokenKind::patch && shape_.untie_cls_and_patch_norms ? "cls_norm" : "norm";
  };
  bool const tied = !shape_.untie_cls_and_patch_norms && !shape_.untie_global_and_local_cls_norm;
  if (tied || groups.empty()) return f(name(TokenKind::prefix), 0, rows);
  std::int64_t first = 0;
  for (auto const& group : groups) {
    f(name(group.kind), first, first + group.rows);
    first += group.rows;
  }
  assert(first == rows);
}

template <class T>
View<T, 2> Vit<T>::normalize(Arena& arena, View<T const, 2> rows, Keep keep,
                             std::span<RowGroup const> groups) {
  auto const y = arena.take<T, 2>(rows.extents());
  auto const count = rows.extent(0);
  norm_.x = rows;
  norm_.mean = norm_.rstd = {};
  norm_.groups.assign(groups.begin(), groups.end());
  if (keep == Keep::yes) {
    norm_.rstd = arena.take<float, 1>({count});
    if (shape_.norm == Norm::layer) norm_.mean = arena.take<float, 1>({count});
  }
  auto const part = [](View<float, 1> all, std::int64_t begin, std::int64_t end) {
    return all ? all.rows(begin, end) : all;
  };
  auto const p = store_.gather(norm_unit(), Pass::forward);
  for_norms(groups, count, [&](std::string const& name, std::int64_t begin, std::int64_t end) {
    norm_forward(p, name, rows.rows(begin, end), y.rows(begin, end), part(norm_.mean, begin, end),
                 part(norm_.rstd, begin, end));
  });
  store_.release(norm_unit(), Pass::forward);
  return y;
}

template <class T>
void Vit<T>::normalize_backward(View<T const, 2> dy, View<T, 2> drows, typename Store::Last last) {
  auto const p = store_.gather(norm_unit(), Pass::backward);
  auto const g = store_.gradient(norm_unit());
  auto const backward = [&](std::string const& name, std::int64_t begin, std::int64_t end) {
    norm_backward(p, g, name,
                  {.dy = dy.rows(begin, end),
                   .x = norm_.x.rows(begin, end),
                   .weight = {},
                   .mean = norm_.mean ? norm_.mean.rows(begin, end) : norm_.mean,
                   .rstd = norm_.rstd.rows(begin, end),
                   .dx = drows.rows(begin, end),
                   .dweight = {},
                   .dbias = {}});
  };
  for_norms(norm_.groups, dy.extent(0), backward);
  store_.reduce(norm_unit(), last);
  store_.release(norm_unit(), Pass::backward);
}

template class Vit<float>;
template class Vit<bfloat16>;

}  // namespace dino
