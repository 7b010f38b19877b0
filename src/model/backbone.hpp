// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "kernels/arena.hpp"
#include "shard/store.hpp"

namespace dino {

/// Whether what backward needs is kept on the arena.
enum class Keep { no, yes };

/// Whether batch norms take the statistics of the batch, or those that ran along in training.
enum class Mode { training, evaluation };

/// Images of one size, [n, channels, height, width], normalised.
using ImageView = View<float const, 4>;

/// What every backbone gives: one row of features per image, and their gradient. All ranks that
/// share its parameters call alike, with images or without.
template <class T>
class Backbone {
 public:
  using Last = typename shard::ParameterStore<T>::Last;

  virtual ~Backbone() = default;
  /// Width of the features, D.
  virtual std::int64_t dim() const = 0;
  /// Features [n, D] on the arena: images of the first size, then of the second, ….
  /// \param drop_path  factors of residual branches, [2 depth, n]; empty: all 1
  /// \param keep  yes: for one `features_backward`, for which the images must stay
  virtual View<T, 2> features(Arena& arena, std::span<ImageView const> images,
                              View<float const, 2> drop_path, Mode mode, Keep keep) = 0;
  /// Adds the gradients of the parameters; `dfeatures` [n, D] is overwritten.
  virtual void features_backward(Arena& arena, std::span<ImageView const> images,
                                 View<T, 2> dfeatures, Last last) = 0;

  /// Bytes of arena that `features` of so many images of side `side` takes in evaluation.
  virtual std::int64_t evaluation_bytes(std::int64_t images, std::int64_t side) const = 0;

  /// Training passes from here on belong to a new step: forgets what an unfinished one has seen.
  virtual void begin_step() {}
  /// The step counts: its batch statistics go into the running ones.
  virtual void finish_step() {}
};

/// What `evaluation_bytes` gives, by a dry run. \param make  (space, store) -> the backbone
template <class T, class Make>
std::int64_t dry_evaluation_bytes(std::vector<shard::UnitSpec> units, ImageView images,
                                  Processor processor, Make const& make) {
  Tally tally;
  Space const dry = Dry{&tally, processor};
  shard::ParameterStore<T> store(dry, shard::ShardGroups::make(Communicator::self(), 1), {},
                                 std::move(units), shard::Role::teacher);
  auto backbone = make(dry, store);
  Arena arena(dry, Arena::no_limit);
  backbone.features(arena, std::span(&images, 1), {}, Mode::evaluation, Keep::no);
  return arena.high_water();
}

/// Images without values, for a dry run.
inline ImageView dry_images(std::int64_t images, std::int64_t channels, std::int64_t side) {
  return {reinterpret_cast<float const*>(Arena::alignment), {images, channels, side, side}};
}

}  // namespace dino
