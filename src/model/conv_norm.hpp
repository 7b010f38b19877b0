// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/convolution.hpp"
#include "model/batch_norm.hpp"

namespace dino {

/// Feature maps of images of one size, channels last.
template <class T>
struct FeatureMap {
  std::int64_t images = 0, height = 0, width = 0;
  View<T, 2> rows;  ///< [images * height * width, channels]
  std::int64_t pixels() const { return height * width; }
};
/// One per size of image.
template <class T>
using FeatureMaps = std::vector<FeatureMap<T>>;

/// Maps of the same sizes on the arena.
template <class T>
FeatureMaps<T> take_maps(Arena& arena, FeatureMaps<T> const& like, std::int64_t channels) {
  auto maps = like;
  for (auto& map : maps) map.rows = arena.take<T, 2>({map.images * map.pixels(), channels});
  return maps;
}

/// A convolution without bias, and the batch norm behind it.
struct ConvNormShape {
  std::string unit;        ///< names of the block, e.g. "layer1.0."
  std::string conv, norm;  ///< names within it, e.g. "conv1", "bn1"
  std::int64_t in = 1, out = 1, kernel = 1, stride = 1;

  std::int64_t padding() const { return kernel / 2; }
  /// Appends the rows of both layers. First values: torchvision's (normal of the fan out).
  void add_parameters(shard::UnitSpec& unit) const;
  /// Maps that images of these sizes get, without memory.
  template <class T>
  FeatureMaps<T> outputs(FeatureMaps<T> const& in_maps) const {
    auto maps = in_maps;
    for (auto& map : maps) {
      auto const w = windows(map.images, map.height, map.width);
      map = {.images = map.images, .height = w.out_height(), .width = w.out_width(), .rows = {}};
    }
    return maps;
  }
  Windows windows(std::int64_t images, std::int64_t height, std::int64_t width) const {
    return {images, height, width, kernel, stride, padding()};
  }
};

/// What a forward pass goes through its layers with.
template <class T>
struct ConvPass {
  Arena& arena;
  shard::UnitView<T const> parameters;   ///< of the block
  shard::UnitView<float const> running;  ///< the running statistics; in evaluation only
  Mode mode = Mode::training;
  Keep keep = Keep::no;
};

/// y = act(norm(convolution(x)) + residual), forward and backward over maps of all sizes.
template <class T>
class ConvNorm {
 public:
  ConvNorm(Space const& space, Communicator const& world, ConvNormShape shape)
      : space_(space), shape_(std::move(shape)), norm_(space, world, shape_.out) {}

  ConvNormShape const& shape() const { return shape_; }
  BatchNorm<T>& norm() { return norm_; }
  /// Name of the batch norm in the unit of buffers.
  std::string norm_name() const { return shape_.unit + shape_.norm; }
  FeatureMaps<T> take_output(Arena& arena, FeatureMaps<T> const& in) const {
    return take_maps(arena, shape_.outputs(in), shape_.out);
  }

  /// \param residual  maps as `out`; or none
  void forward(ConvPass<T> const& pass, FeatureMaps<T> const& in, FeatureMaps<T> const& residual,
               FeatureMaps<T> const& out, Relu relu);
  /// \param dout       overwritten
  /// \param dresidual  gradient of the residual, overwritten; or none
  /// \param din        gradient of the input, overwritten; or none: not wanted
  void backward(Arena& arena, shard::UnitView<T const> const& parameters,
                shard::UnitView<float> const& gradients, FeatureMaps<T> const& dout,
                FeatureMaps<T> const& dresidual, FeatureMaps<T> const& din);

 private:
  View<T const, 2> filters(Arena& arena, shard::UnitView<T const> const& parameters) const;
  std::byte* scratch(Arena& arena, FeatureMaps<T> const& in) const;
  void convolve(Arena& arena, shard::UnitView<T const> const& parameters, FeatureMaps<T> const& in,
                FeatureMaps<T> const& out) const;
  void filters_backward(Arena& arena, View<float, 1> dweight, FeatureMaps<T> const& dout) const;
  Windows windows(FeatureMap<T> const& map) const {
    return shape_.windows(map.images, map.height, map.width);
  }

  Space space_;
  ConvNormShape shape_;
  BatchNorm<T> norm_;
  FeatureMaps<T> in_;  ///< of the last forward pass with Keep::yes
};

}  // namespace dino
