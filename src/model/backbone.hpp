// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>

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

  /// Training passes from here on belong to a new step: forgets what an unfinished one has seen.
  virtual void begin_step() {}
  /// The step counts: its batch statistics go into the running ones.
  virtual void finish_step() {}
};

}  // namespace dino
