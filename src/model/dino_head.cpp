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

}  // namespace

std::vector<shard::UnitSpec> dino_head_units(DinoHeadShape const& s, std::string const& prefix) {
  shard::UnitSpec mlp{prefix, {}};
  for (std::int64_t i = 0; i < s.nlayers; ++i) {
    auto const name = s.nlayers == 1 ? std::string("mlp") : "mlp." + std::to_string(2 * i);
    auto const in = i == 0 ? s.in_dim : s.hidden_dim;
    auto const out = i + 1 == s.nlayers ? s.bottleneck_dim : s.hidden_dim;
    mlp.parameters.push_back(
        {.name = name + ".weight", .shape = {out, in}, .init = Init::trunc_normal()});
    mlp.parameters.push_back(
        {.name = name + ".bias", .shape = {out}, .init = Init::zeros(), .decay = Decay::no});
  }
  return {std::move(mlp), last_layer_unit(s, prefix)};
}

template <class T>
DinoHead<T>::DinoHead(Space const& space, DinoHeadShape const& shape, Store& store, int mlp_unit,
                      Store& prototypes_store, int prototypes_unit)
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
      hidden_(static_cast<std::size_t>(shape.nlayers)) {}

template <class T>
std::string DinoHead<T>::layer_name(std::int64_t layer) const {
  return shape_.nlayers == 1 ? "mlp" : "mlp." + std::to_string(2 * layer);
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
    auto const name = layer_name(i);
    y = arena.take<T, 2>({x.extent(0), layer_width(i)});
    run(space_, LinearForward<T>{.x = x,
                                 .weight = p.matrix(name + ".weight"),
                                 .bias = p.vector(name + ".bias"),
                                 .y = y});
    inputs_[static_cast<std::size_t>(i)] = x;
    hidden_[static_cast<std::size_t>(i)] = y;
    if (i + 1 == shape_.nlayers) break;
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
    auto const name = layer_name(i);
    auto const x = inputs_[static_cast<std::size_t>(i)];
    auto const dx = arena.take<T, 2>(x.extents());
    run(space_, LinearBackwardWeight<T>{.x = x,
                                        .dy = dy,
                                        .dweight = g.matrix(name + ".weight"),
                                        .dbias = g.vector(name + ".bias")});
    run(space_, LinearBackwardInput<T>{.dy = dy, .weight = p.matrix(name + ".weight"), .dx = dx});
    if (i > 0)
      run(space_,
          GeluBackward<T>{.dy = dx, .x = hidden_[static_cast<std::size_t>(i - 1)], .dx = dx});
    dy = dx;
  }
  store_.reduce(mlp_unit_, last);
  store_.release(mlp_unit_, Pass::backward);
  return dy;
}

template class DinoHead<float>;
template class DinoHead<bfloat16>;

}  // namespace dino
