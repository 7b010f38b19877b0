// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/arena.hpp"
#include "model/batch_norm.hpp"
#include "model/prototypes.hpp"
#include "model/vit.hpp"
#include "shard/store.hpp"

namespace dino {

/// Sizes of a projection head. Source: DINO, arXiv:2104.14294, sec. 3.1; method.md 2.
struct DinoHeadShape {
  std::int64_t in_dim = 384;
  std::int64_t hidden_dim = 2048;
  std::int64_t bottleneck_dim = 256;
  std::int64_t out_dim = 65536;  ///< K prototypes
  std::int64_t nlayers = 3;      ///< linear layers before the prototypes, >= 1
  bool batch_norm = false;       ///< before each GELU (v1's use_bn)
  bool weight_norm = true;      ///< prototypes are g v / ‖v‖ (v1, v2); else a plain matrix (v3)
  bool norm_last_layer = true;  ///< the prototypes' norms weight_g are frozen at 1
  float normalize_eps = 1e-12F;

  bool has_batch_norm() const { return batch_norm && nlayers > 1; }
};

/// The parameter table: the MLP and the weight-normalised last layer are a unit each; before them,
/// where there are batch norms, their running statistics (buffers).
std::vector<shard::UnitSpec> dino_head_units(DinoHeadShape const& shape, std::string const& prefix);

/// MLP with GELU and L2 normalisation over all rows; then the prototypes, over any tile of them.
template <class T>
class DinoHead {
 public:
  /// \param world  the ranks that batch norms take the statistics of
  DinoHead(Space const& space, DinoHeadShape const& shape, shard::ParameterStore<T>& store,
           int first_unit, Communicator const& world = Communicator::self())
      : DinoHead(space, shape, store, first_unit + (shape.has_batch_norm() ? 1 : 0), store,
                 first_unit + (shape.has_batch_norm() ? 2 : 1), world) {}
  /// With the prototypes in a store of their own. \param mlp_unit  behind the unit of buffers
  DinoHead(Space const& space, DinoHeadShape const& shape, shard::ParameterStore<T>& store,
           int mlp_unit, shard::ParameterStore<T>& prototypes_store, int prototypes_unit,
           Communicator const& world = Communicator::self());

  /// Normalised rows [R, bottleneck_dim], which the prototypes take, on the arena, for rows x
  /// [R, in_dim]. Both must stay for backward.
  View<T, 2> forward(Arena& arena, View<T const, 2> x, Keep keep);
  /// Gradients of the MLP, and the gradient of x: [R, in_dim] on the arena.
  /// \param dy  of the normalised rows
  View<T, 2> backward(Arena& arena, View<T const, 2> dy,
                      typename shard::ParameterStore<T>::Last last);

  /// As those of Backbone, of batch norms in the head.
  void begin_step();
  void finish_step();

  Prototypes<T>& prototypes() { return prototypes_; }
  DinoHeadShape const& shape() const { return shape_; }
  /// Before the L2 normalisation, [R, bottleneck_dim], of the last forward pass with Keep::yes.
  View<T const, 2> bottleneck() const { return bottleneck_; }

 private:
  using Store = shard::ParameterStore<T>;
  View<T, 2> normalize(Arena& arena, std::int64_t layer, View<T, 2> x,
                       shard::UnitView<T const> const& parameters, Keep keep);
  std::int64_t layer_width(std::int64_t layer) const;  ///< of the output of linear layer `layer`
  View<T, 2> mlp(Arena& arena, View<T const, 2> x, Keep keep);
  View<T, 2> mlp_backward(Arena& arena, View<T, 2> dz, typename Store::Last last);

  Space space_;
  DinoHeadShape shape_;
  Store& store_;
  int mlp_unit_;
  Prototypes<T> prototypes_;
  std::vector<View<T const, 2>> inputs_;  ///< of each linear layer
  std::vector<View<T const, 2>> hidden_;  ///< before each GELU
  std::vector<BatchNorm<T>> norms_;       ///< before each GELU; or none
  View<T const, 2> bottleneck_, normalized_;
  View<float, 1> norm_;
};

}  // namespace dino
