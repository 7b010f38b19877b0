// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/conv_norm.hpp"

namespace dino {

/// Sizes of a residual network of bottlenecks; the defaults are ResNet-50.
/// Source: He et al. 2016, arXiv:1512.03385, table 1; method.md 1.10.
struct ResNetShape {
  std::array<std::int64_t, 4> blocks{3, 4, 6, 3};  ///< of each stage
  std::int64_t width = 64;  ///< channels of the stem and of the first stage's 3 x 3 convolutions
  std::int64_t channels = 3;

  std::int64_t dim() const { return 32 * width; }  ///< of the features, D
};

/// A residual block: 1 x 1, 3 x 3 (which has the stride, "v1.5") and 1 x 1 convolutions.
struct BottleneckShape {
  ConvNormShape conv1, conv2, conv3;
  std::optional<ConvNormShape> downsample;  ///< of the residual; in the first block of a stage
};
std::vector<BottleneckShape> bottlenecks(ResNetShape const& shape);

/// The parameter table: the running statistics (buffers), the stem, and each block are a unit each.
/// Names and first values are torchvision's. Source: method.md 1.10.
std::vector<shard::UnitSpec> resnet_units(ResNetShape const& shape, std::string const& prefix);

/// A ResNet whose features are the mean of its last maps over all pixels. In training, batch norms
/// use the statistics of all ranks' images of one size (first the images of the first size, then of
/// the second, …); all images of a step are seen in one pass. Images of any size.
template <class T>
class ResNet : public Backbone<T> {
 public:
  using typename Backbone<T>::Last;

  /// The units of `resnet_units` are units first_unit, first_unit + 1, … of the store.
  ResNet(Space const& space, Communicator const& world, ResNetShape const& shape,
         shard::ParameterStore<T>& store, int first_unit);

  ResNetShape const& shape() const { return shape_; }
  std::int64_t dim() const override { return shape_.dim(); }
  View<T, 2> features(Arena& arena, std::span<ImageView const> images,
                      View<float const, 2> drop_path, Mode mode, Keep keep) override;
  void features_backward(Arena& arena, std::span<ImageView const> images, View<T, 2> dfeatures,
                         Last last) override;
  std::int64_t evaluation_bytes(std::int64_t images, std::int64_t side) const override;
  void begin_step() override;
  void finish_step() override;

 private:
  struct Bottleneck {
    std::unique_ptr<ConvNorm<T>> conv1, conv2, conv3, downsample;  ///< the last may be null
  };
  class Chain;
  FeatureMaps<T> pooled_sizes(std::span<ImageView const> images) const;
  FeatureMaps<T> images_as_maps(Arena& arena, std::span<ImageView const> images) const;
  void stem(ConvPass<T> pass, std::span<ImageView const> images, FeatureMaps<T> const& pooled);
  void block(ConvPass<T> const& pass, Bottleneck& block, FeatureMaps<T> const& in,
             FeatureMaps<T> const& out);
  void average(FeatureMaps<T> const& maps, View<T, 2> features) const;
  void average_backward(View<T const, 2> dfeatures, FeatureMaps<T> const& dmaps) const;
  void block_backward(Arena& arena, std::size_t index, FeatureMaps<T> const& dout,
                      FeatureMaps<T> const& din, Last last);
  void stem_backward(Arena& arena, FeatureMaps<T> const& dpooled, Last last);
  template <class F>
  void for_norms(F const& f);
  static Windows pooling(FeatureMap<T> const& map) {
    return {map.images, map.height, map.width, 3, 2, 1};
  }
  int stem_unit() const { return buffers_unit_ + 1; }
  int block_unit(std::size_t index) const { return buffers_unit_ + 2 + static_cast<int>(index); }

  Space space_;
  ResNetShape shape_;
  shard::ParameterStore<T>& store_;
  int buffers_unit_;
  ConvNorm<T> stem_;
  std::vector<Bottleneck> blocks_;
  // Of the last forward pass with Keep::yes:
  FeatureMaps<T> stem_out_;
  std::vector<View<std::uint8_t, 2>> stem_argument_;
  std::vector<FeatureMaps<T>> block_maps_;  ///< before each block, and after the last
};

}  // namespace dino
