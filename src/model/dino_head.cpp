// SPDX-License-Identifier: Apache-2.0
#include "model/dino_head.hpp"

#include <cmath>

#include "kernels/activation.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/gemm.hpp"
#include "kernels/norm.hpp"

namespace dino {

using shard::Decay;
using shard::Init;
using shard::Pass;
using shard::Trained;

namespace {

shard::UnitSpec last_layer_unit(DinoHeadShape const& s, std::string const& prefix) {
  if (!s.weight_norm) {
    return {prefix,
            {{.name = "last_layer.weight",
              .shape = {s.out_dim, s.bottleneck_dim},
              .init = Init::trunc_normal(),
              .last_layer = true}}};
  }
  auto const bound = static_cast<float>(1.0 / std::sqrt(static_cast<double>(s.bottleneck_dim)));
  return {prefix,
          {{.name = "last_layer.weight_g",
            .shape = {s.out_dim, 1},
            .init = Init::ones(),
            .trained = s.norm_last_layer ? Trained::no : Trained::yes,
            .last_layer = true},
           {.name = "last_layer.weight_v",
            .shape = {s.out_dim, s.bottleneck_dim},
            .init = Init::uniform(bound),
            .last_layer = true}}};
}

/// Name of a linear layer: modules are numbered, a GELU or a batch norm and a GELU between them.
std::string linear_name(DinoHeadShape const& s, std::int64_t layer) {
  return s.nlayers == 1 ? "mlp" : "mlp." + std::to_string((s.batch_norm ? 3 : 2) * layer);
}

/// Name of the batch norm behind it.
std::string norm_name(std::int64_t layer) {
  return "mlp." + std::to_string(3 * layer + 1);
}

}  // namespace

std::vector<shard::UnitSpec> dino_head_units(DinoHeadShape const& s, std::string const& prefix) {
  shard::UnitSpec mlp{prefix, {}}, buffers{prefix, {}, true};
  for (std::int64_t i = 0; i < s.nlayers; ++i) {
    auto const name = linear_name(s, i);
    auto const in = i == 0 ? s.in_dim : s.hidden_dim;
    auto const out = i + 1 == s.nlayers ? s.bottleneck_dim : s.hidden_dim;
    mlp.parameters.push_back(
        {.name = name + ".weight", .shape = {out, in}, .init = Init::trunc_normal()});
    mlp.parameters.push_back(
        {.name = name + ".bias", .shape = {out}, .init = Init::zeros(), .decay = Decay::no});
    if (!s.batch_norm || i + 1 == s.nlayers) continue;
    add_batch_norm(mlp, norm_name(i), out);
    add_running_statistics(buffers, norm_name(i), out);
  }
  if (!s.has_batch_norm()) return {std::move(mlp), last_layer_unit(s, prefix)};
  return {std::move(buffers), std::move(mlp), last_layer_unit(s, prefix)};
}

template <class T>
DinoHead<T>::DinoHead(Space const& space, DinoHeadShape const& shape, Store& store, int mlp_unit,
                      Store& prototypes_store, int prototypes_unit, Communicator const& world)
    : space_(space),
      shape_(shape),
      store_(store),
      mlp_unit_(mlp_unit),
      prototypes_(space,
                  {.bottleneck_dim = shape.bottleneck_dim,
                   .out_dim = shape.out_dim,
                   .weight_norm = shape.weight_norm,
                   .norm_last_layer = shape.norm_last_layer},
                  prototypes_store, prototypes_unit),
      inputs_(static_cast<std::size_t>(shape.nlayers)),
      hidden_(static_cast<std::size_t>(shape.nlayers)) {
  for (std::int64_t i = 0; shape.has_batch_norm() && i + 1 < shape.nlayers; ++i)
    norms_.emplace_back(space, world, shape.hidden_dim);
}

template <class T>
void DinoHead<T>::begin_step() {
  for (auto& norm : norms_) norm.forget();
}

template <class T>
void DinoHead<T>::finish_step() {
  for (std::size_t i = 0; i < norms_.size(); ++i) {
    norms_[i].update_running(store_, mlp_unit_ - 1, norm_name(static_cast<std::int64_t>(i)));
    norms_[i].forget();
  }
}

/// The batch norm behind a linear layer, over all rows; x itself where there is none.
template <class T>
View<T, 2> DinoHead<T>::normalize(Arena& arena, std::int64_t layer, View<T, 2> x,
                                  shard::UnitView<T const> const& p, Keep keep) {
  if (norms_.empty()) return x;
  auto const y = keep == Keep::yes ? arena.take<T, 2>(x.extents()) : x;
  typename BatchNorm<T>::Rows const rows{.x = x, .residual = {}, .y = y};
  norms_[static_cast<std::size_t>(layer)].forward(arena, affine_of(p, norm_name(layer)),
                                                  std::span(&rows, 1), Relu::no, keep);
  return y;
}

template <class T>
std::int64_t DinoHead<T>::layer_width(std::int64_t layer) const {
  return layer + 1 == shape_.nlayers ? shape_.bottleneck_dim : shape_.hidden_dim;
}

template <class T>
View<T, 2> DinoHead<T>::mlp(Arena& arena, View<T const, 2> x, Keep keep) {
  auto const p = store_.gather(mlp_unit_, Pass::forward);
  View<T, 2> y;
  for (std::int64_t i = 0; i < shape_.nlayers; ++i) {
    auto const name = linear_name(shape_, i);
    y = arena.take<T, 2>({x.extent(0), layer_width(i)});
    run(space_, LinearForward<T>{.x = x,
                                 .weight = p.matrix(name + ".weight"),
                                 .bias = p.vector(name + ".bias"),
                                 .y = y});
    inputs_[static_cast<std::size_t>(i)] = x;
    if (i + 1 == shape_.nlayers) break;
    y = normalize(arena, i, y, p, keep);
    hidden_[static_cast<std::size_t>(i)] = y;
    auto const gelu = keep == Keep::yes ? arena.take<T, 2>(y.extents()) : y;
    run(space_, GeluForward<T>{.x = y, .y = gelu});
    x = gelu;
  }
  store_.release(mlp_unit_, Pass::forward);
  return y;
}

template <class T>
View<T, 2> DinoHead<T>::forward(Arena& arena, View<T const, 2> x, Keep keep) {
  auto const u = arena.take<T, 2>({x.extent(0), shape_.bottleneck_dim});
  auto const mark = arena.mark();
  auto const z = mlp(arena, x, keep);
  norm_ = arena.take<float, 1>({x.extent(0)});
  run(space_, L2NormalizeForward<T>{.x = z, .y = u, .norm = norm_, .eps = shape_.normalize_eps});
  bottleneck_ = z;
  normalized_ = u;
  if (keep == Keep::no) arena.release(mark);
  return u;
}

template <class T>
View<T, 2> DinoHead<T>::backward(Arena& arena, View<T const, 2> dy, typename Store::Last last) {
  auto const dx = arena.take<T, 2>({dy.extent(0), shape_.in_dim});
  ArenaScope const scope(arena);
  auto const dz = arena.take<T, 2>(dy.extents());
  run(space_,
      L2NormalizeBackward<T>{
          .dy = dy, .y = normalized_, .norm = norm_, .dx = dz, .eps = shape_.normalize_eps});
  auto const dinput = mlp_backward(arena, dz, last);
  run(space_, Cast<T, T>{.x = dinput.flat(), .y = dx.flat()});
  return dx;
}

template <class T>
View<T, 2> DinoHead<T>::mlp_backward(Arena& arena, View<T, 2> dy, typename Store::Last last) {
  auto const p = store_.gather(mlp_unit_, Pass::backward);
  auto const g = store_.gradient(mlp_unit_);
  for (auto i = shape_.nlayers - 1; i >= 0; --i) {
    auto const name = linear_name(shape_, i);
    auto const x = inputs_[static_cast<std::size_t>(i)];
    auto const dx = arena.take<T, 2>(x.extents());
    // The last layer's; other biases' with the activation behind them, unless a norm lies between.
    View<float, 1> dbias;
    if (i == shape_.nlayers - 1 || !norms_.empty()) dbias = g.vector(name + ".bias");
    run(space_, LinearBackwardWeight<T>{
                    .x = x, .dy = dy, .dweight = g.matrix(name + ".weight"), .dbias = dbias});
    run(space_, LinearBackwardInput<T>{.dy = dy, .weight = p.matrix(name + ".weight"), .dx = dx});
    dy = dx;
    if (i == 0) break;
    View<float, 1> dbias_before;
    if (norms_.empty()) dbias_before = g.vector(linear_name(shape_, i - 1) + ".bias");
    run(space_, GeluBackward<T>{.dy = dx,
                                .x = hidden_[static_cast<std::size_t>(i - 1)],
                                .dx = dx,
                                .dbias = dbias_before});
    if (norms_.empty()) continue;
    typename BatchNorm<T>::Gradients const rows{.dy = dx, .dresidual = {}};
    auto const norm = norm_name(i - 1);
    norms_[static_cast<std::size_t>(i - 1)].backward(arena, affine_of(p, norm),
                                                     g.vector(norm + ".weight"),
                                                     g.vector(norm + ".bias"), std::span(&rows, 1));
  }
  store_.reduce(mlp_unit_, last);
  store_.release(mlp_unit_, Pass::backward);
  return dy;
}

template class DinoHead<float>;
template class DinoHead<bfloat16>;

}  // namespace dino
