// SPDX-License-Identifier: Apache-2.0
#include "model/prototypes.hpp"

#include "kernels/elementwise.hpp"
#include "kernels/gemm.hpp"
#include "kernels/norm.hpp"

namespace dino {

using shard::Pass;

/// g v / ‖v‖ on the arena.
template <class T>
View<T const, 2> Prototypes<T>::normalized(Arena& arena, shard::UnitView<T const> const& p) {
  auto const weight = arena.take<T, 2>({shape_.out_dim, shape_.bottleneck_dim});
  run(space_, WeightNormForward<T>{.g = p.matrix("last_layer.weight_g"),
                                   .v = p.matrix("last_layer.weight_v"),
                                   .weight = weight});
  return weight;
}

// No other unit follows: the heads' MLPs of all micro-batches come before.
template <class T>
void Prototypes<T>::load(Arena& arena) {
  auto const p = store_.gather(unit_, Pass::alone);
  if (shape_.weight_norm) {
    weight_ = normalized(arena, p);
  } else {
    auto const copy = arena.take<T, 2>({shape_.out_dim, shape_.bottleneck_dim});
    run(space_, Cast<T, T>{.x = p.vector("last_layer.weight"), .y = copy.flat()});
    weight_ = copy;
  }
  store_.release(unit_, Pass::alone);
}

// Forward and backward follow each other tile by tile, so that the unit stays gathered and the
// next one is that of the backward pass.
template <class T>
void Prototypes<T>::begin_pass(Arena& arena) {
  auto const p = store_.gather(unit_, Pass::backward);
  if (!shape_.weight_norm) {
    weight_ = p.matrix("last_layer.weight");
    gradient_ = store_.gradient(unit_).matrix("last_layer.weight");
    return;
  }
  weight_ = normalized(arena, p);
  gradient_ = arena.take<float, 2>(weight_.extents());
  run(space_, Fill<float>{.y = gradient_.flat()});
}

template <class T>
void Prototypes<T>::logits(View<T const, 2> x, View<float, 2> logits) const {
  run(space_, LinearForward<T, float>{.x = x, .weight = weight_, .bias = {}, .y = logits});
}

template <class T>
void Prototypes<T>::backward(View<T const, 2> dlogits, View<T const, 2> x, View<T, 2> dx) const {
  run(space_, LinearBackwardInput<T>{.dy = dlogits, .weight = weight_, .dx = dx});
  run(space_, LinearBackwardWeight<T>{.x = x, .dy = dlogits, .dweight = gradient_, .dbias = {}});
}

template <class T>
void Prototypes<T>::finish_pass(typename shard::ParameterStore<T>::Last last) {
  if (shape_.weight_norm) {
    auto const p = store_.gather(unit_, Pass::backward);
    auto const g = store_.gradient(unit_);
    run(space_,
        WeightNormBackward<T>{
            .dweight = gradient_,
            .g = p.matrix("last_layer.weight_g"),
            .v = p.matrix("last_layer.weight_v"),
            .dg = shape_.norm_last_layer ? View<float, 2>{} : g.matrix("last_layer.weight_g"),
            .dv = g.matrix("last_layer.weight_v")});
  }
  store_.reduce(unit_, last);
  store_.release(unit_, Pass::backward);
}

template class Prototypes<float>;
template class Prototypes<bfloat16>;

}  // namespace dino
