// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "kernels/arena.hpp"
#include "shard/store.hpp"

namespace dino {

/// Sizes and kind of the last layer of a projection head.
struct PrototypesShape {
  std::int64_t bottleneck_dim = 256;
  std::int64_t out_dim = 65536;  ///< K prototypes
  bool weight_norm = true;      ///< prototypes are g v / ‖v‖ (v1, v2); else a plain matrix (v3)
  bool norm_last_layer = true;  ///< the prototypes' norms weight_g are frozen at 1
};

/// The last layer of a head, logits = x Wᵀ without bias, over any rows at a time: with K up to
/// 131,072 the logits of all rows of a step need not lie in memory together. Source: method.md 2.
///
/// The teacher calls `load`, then `logits` for its tiles. The student calls `begin_pass`, then
/// `logits` and `backward` for its tiles, then `finish_pass`.
template <class T>
class Prototypes {
 public:
  Prototypes(Space const& space, PrototypesShape const& shape, shard::ParameterStore<T>& store,
             int unit)
      : space_(space), shape_(shape), store_(store), unit_(unit) {}

  PrototypesShape const& shape() const { return shape_; }

  /// Puts the prototypes [K, bottleneck_dim] on the arena, where they stay until it is released.
  void load(Arena& arena);
  /// The same, and a gradient of zero.
  void begin_pass(Arena& arena);

  /// \param x  [n, bottleneck_dim], normalised; \param logits  [n, K], overwritten
  void logits(View<T const, 2> x, View<float, 2> logits) const;
  /// Adds a tile to the gradient of the prototypes, in float32.
  /// \param dlogits  [n, K]; \param x  [n, bottleneck_dim]
  /// \param dx  [n, bottleneck_dim], overwritten
  void backward(View<T const, 2> dlogits, View<T const, 2> x, View<T, 2> dx) const;

  /// Gives the gradient to the store.
  void finish_pass(typename shard::ParameterStore<T>::Last last);

 private:
  View<T const, 2> normalized(Arena& arena, shard::UnitView<T const> const& parameters);

  Space space_;
  PrototypesShape shape_;
  shard::ParameterStore<T>& store_;
  int unit_;
  View<T const, 2> weight_;  ///< [K, bottleneck_dim]
  View<float, 2> gradient_;  ///< of weight_; the store's own where there is no weight norm
};

}  // namespace dino
