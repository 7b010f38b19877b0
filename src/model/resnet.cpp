// SPDX-License-Identifier: Apache-2.0
#include "model/resnet.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "kernels/elementwise.hpp"

namespace dino {

using shard::Pass;
using shard::UnitSpec;

namespace {

constexpr std::int64_t expansion = 4;  // channels after a block over those of its 3 x 3 convolution

ConvNormShape stem_shape(ResNetShape const& shape) {
  return {.unit = "",
          .conv = "conv1",
          .norm = "bn1",
          .in = shape.channels,
          .out = shape.width,
          .kernel = 7,
          .stride = 2};
}

/// The layers of a block in the order of torchvision's table.
std::vector<ConvNormShape> layers(BottleneckShape const& block) {
  std::vector<ConvNormShape> all{block.conv1, block.conv2, block.conv3};
  if (block.downsample) all.push_back(*block.downsample);
  return all;
}

}  // namespace

std::vector<BottleneckShape> bottlenecks(ResNetShape const& shape) {
  std::vector<BottleneckShape> blocks;
  auto in = shape.width;
  for (std::size_t stage = 0; stage < shape.blocks.size(); ++stage) {
    auto const width = shape.width << stage, out = expansion * width;
    for (std::int64_t i = 0; i < shape.blocks[stage]; ++i) {
      auto const unit = "layer" + std::to_string(stage + 1) + "." + std::to_string(i) + ".";
      std::int64_t const stride = i == 0 && stage > 0 ? 2 : 1;
      BottleneckShape block{
          .conv1 = {.unit = unit, .conv = "conv1", .norm = "bn1", .in = in, .out = width},
          .conv2 = {.unit = unit,
                    .conv = "conv2",
                    .norm = "bn2",
                    .in = width,
                    .out = width,
                    .kernel = 3,
                    .stride = stride},
          .conv3 = {.unit = unit, .conv = "conv3", .norm = "bn3", .in = width, .out = out},
          .downsample = {}};
      if (i == 0) {
        block.downsample = ConvNormShape{.unit = unit,
                                         .conv = "downsample.0",
                                         .norm = "downsample.1",
                                         .in = in,
                                         .out = out,
                                         .stride = stride};
      }
      blocks.push_back(std::move(block));
      in = out;
    }
  }
  return blocks;
}

std::vector<UnitSpec> resnet_units(ResNetShape const& shape, std::string const& prefix) {
  std::vector<UnitSpec> units{{prefix, {}, true}, {prefix, {}}};
  auto const add = [&](UnitSpec& unit, ConvNormShape const& layer) {
    layer.add_parameters(unit);
    add_running_statistics(units.front(), layer.unit + layer.norm, layer.out);
  };
  auto const blocks = bottlenecks(shape);
  units.reserve(2 + blocks.size());
  add(units[1], stem_shape(shape));
  for (auto const& block : blocks) {
    auto& unit = units.emplace_back(UnitSpec{prefix + block.conv1.unit, {}});
    for (auto const& layer : layers(block)) add(unit, layer);
  }
  return units;
}

/// Memory of the maps that are handed from block to block: a place for each where backward needs
/// them, else two places in turn.
template <class T>
class ResNet<T>::Chain {
 public:
  /// \param first  sizes before the first block
  Chain(Arena& arena, ResNetShape const& shape, FeatureMaps<T> const& first, Keep keep)
      : arena_(arena), keep_(keep) {
    if (keep == Keep::yes) return;
    for (auto& place : places_) {
      for (auto const& map : first) place.push_back(arena.take<T, 1>({largest(shape, map)}));
    }
  }
  FeatureMaps<T> next(FeatureMaps<T> const& like, std::int64_t channels) {
    if (keep_ == Keep::yes) return take_maps(arena_, like, channels);
    std::swap(places_[0], places_[1]);
    auto maps = like;
    for (std::size_t g = 0; g < maps.size(); ++g) {
      auto const rows = maps[g].images * maps[g].pixels();
      maps[g].rows = places_[0][g].rows(0, rows * channels).template reshaped<2>({rows, channels});
    }
    return maps;
  }

 private:
  static std::int64_t largest(ResNetShape const& shape, FeatureMap<T> const& first) {
    FeatureMaps<T> map{first};
    auto values = map[0].pixels() * shape.width;
    for (auto const& block : bottlenecks(shape)) {
      map = block.conv2.outputs(map);
      values = std::max(values, map[0].pixels() * block.conv3.out);
    }
    return first.images * values;
  }
  Arena& arena_;
  Keep keep_;
  std::array<std::vector<View<T, 1>>, 2> places_;
};

template <class T>
ResNet<T>::ResNet(Space const& space, Communicator const& world, ResNetShape const& shape,
                  shard::ParameterStore<T>& store, int first_unit)
    : space_(space),
      shape_(shape),
      store_(store),
      buffers_unit_(first_unit),
      stem_(space, world, stem_shape(shape)) {
  auto const make = [&](ConvNormShape const& layer) {
    return std::make_unique<ConvNorm<T>>(space, world, layer);
  };
  for (auto const& block : bottlenecks(shape)) {
    blocks_.push_back({.conv1 = make(block.conv1),
                       .conv2 = make(block.conv2),
                       .conv3 = make(block.conv3),
                       .downsample = block.downsample ? make(*block.downsample) : nullptr});
  }
}

/// f(layer) for every convolution with its norm.
template <class T>
template <class F>
void ResNet<T>::for_norms(F const& f) {
  f(stem_);
  for (auto& block : blocks_) {
    for (auto* const layer :
         {block.conv1.get(), block.conv2.get(), block.conv3.get(), block.downsample.get()})
      if (layer != nullptr) f(*layer);
  }
}

template <class T>
void ResNet<T>::begin_step() {
  for_norms([](ConvNorm<T>& layer) { layer.norm().forget(); });
}

template <class T>
void ResNet<T>::finish_step() {
  for_norms([this](ConvNorm<T>& layer) {
    layer.norm().update_running(store_, buffers_unit_, layer.norm_name());
    layer.norm().forget();
  });
}

template <class T>
View<T, 2> ResNet<T>::features(Arena& arena, std::span<ImageView const> images,
                               View<float const, 2> drop_path, Mode mode, Keep keep) {
  require(drop_path.empty(), ExitCode::bug, "a ResNet has no drop path");
  std::int64_t count = 0;
  for (auto const& group : images) count += group.extent(0);
  auto const out = arena.take<T, 2>({count, dim()});
  std::optional<ArenaScope> scope;
  if (keep == Keep::no) scope.emplace(arena);
  ConvPass<T> pass{.arena = arena, .parameters = {}, .running = {}, .mode = mode, .keep = keep};
  if (mode == Mode::evaluation) pass.running = store_.buffers(buffers_unit_);
  auto const sizes = pooled_sizes(images);
  Chain chain(arena, shape_, sizes, keep);
  auto maps = chain.next(sizes, shape_.width);
  stem(pass, images, maps);
  if (keep == Keep::yes) block_maps_.assign(1, maps);
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    auto& b = blocks_[i];
    auto const next = chain.next(b.conv2->shape().outputs(maps), b.conv3->shape().out);
    pass.parameters = store_.gather(block_unit(i), Pass::forward);
    block(pass, b, maps, next);
    store_.release(block_unit(i), Pass::forward);
    maps = next;
    if (keep == Keep::yes) block_maps_.push_back(maps);
  }
  average(maps, out);
  return out;
}

template <class T>
std::int64_t ResNet<T>::evaluation_bytes(std::int64_t images, std::int64_t side) const {
  return dry_evaluation_bytes<T>(resnet_units(shape_, ""),
                                 dry_images(images, shape_.channels, side), processor_of(space_),
                                 [this](Space const& dry, shard::ParameterStore<T>& store) {
                                   return ResNet(dry, Communicator::self(), shape_, store, 0);
                                 });
}

template <class T>
void ResNet<T>::average(FeatureMaps<T> const& maps, View<T, 2> features) const {
  std::int64_t first = 0;
  for (auto const& map : maps) {
    run(space_,
        AveragePoolForward<T>{.x = map.rows.template reshaped<3>({map.images, map.pixels(), dim()}),
                              .y = features.rows(first, first + map.images)});
    first += map.images;
  }
}

template <class T>
void ResNet<T>::average_backward(View<T const, 2> dfeatures, FeatureMaps<T> const& dmaps) const {
  std::int64_t first = 0;
  for (auto const& map : dmaps) {
    run(space_, AveragePoolBackward<T>{
                    .dy = dfeatures.rows(first, first + map.images),
                    .dx = map.rows.template reshaped<3>({map.images, map.pixels(), dim()})});
    first += map.images;
  }
}

/// Sizes of the maps behind the stem, without memory.
template <class T>
FeatureMaps<T> ResNet<T>::pooled_sizes(std::span<ImageView const> images) const {
  FeatureMaps<T> maps;
  for (auto const& group : images)
    maps.push_back({group.extent(0), group.extent(2), group.extent(3), {}});
  maps = stem_.shape().outputs(maps);
  for (auto& map : maps)
    map = {map.images, pooling(map).out_height(), pooling(map).out_width(), {}};
  return maps;
}

template <class T>
FeatureMaps<T> ResNet<T>::images_as_maps(Arena& arena, std::span<ImageView const> images) const {
  FeatureMaps<T> maps;
  for (auto const& group : images)
    maps.push_back({group.extent(0), group.extent(2), group.extent(3), {}});
  maps = take_maps(arena, maps, shape_.channels);
  for (std::size_t g = 0; g < images.size(); ++g) {
    auto const n = maps[g].images, pixels = maps[g].pixels();
    run(space_,
        SwapAxes<float, T>{.x = images[g].template reshaped<3>({n, shape_.channels, pixels}),
                           .y = maps[g].rows.template reshaped<3>({n, pixels, shape_.channels})});
  }
  return maps;
}

/// 7 x 7 convolution and 3 x 3 maximum, both with stride 2.
template <class T>
void ResNet<T>::stem(ConvPass<T> pass, std::span<ImageView const> images,
                     FeatureMaps<T> const& pooled) {
  std::optional<ArenaScope> scope;
  if (pass.keep == Keep::no) scope.emplace(pass.arena);
  auto const in = images_as_maps(pass.arena, images);
  auto const out = stem_.take_output(pass.arena, in);
  pass.parameters = store_.gather(stem_unit(), Pass::forward);
  stem_.forward(pass, in, {}, out, Relu::yes);
  store_.release(stem_unit(), Pass::forward);
  std::vector<View<std::uint8_t, 2>> arguments(images.size());
  for (std::size_t g = 0; g < images.size(); ++g) {
    if (pass.keep == Keep::yes)
      arguments[g] = pass.arena.template take<std::uint8_t, 2>(pooled[g].rows.extents());
    run(space_, MaxPoolForward<T>{.windows = pooling(out[g]),
                                  .x = out[g].rows,
                                  .y = pooled[g].rows,
                                  .argument = arguments[g]});
  }
  if (pass.keep == Keep::no) return;
  stem_out_ = out;
  stem_argument_ = std::move(arguments);
}

template <class T>
void ResNet<T>::block(ConvPass<T> const& pass, Bottleneck& b, FeatureMaps<T> const& in,
                      FeatureMaps<T> const& out) {
  std::optional<ArenaScope> scope;
  if (pass.keep == Keep::no) scope.emplace(pass.arena);
  auto const first = b.conv1->take_output(pass.arena, in);
  b.conv1->forward(pass, in, {}, first, Relu::yes);
  auto const second = b.conv2->take_output(pass.arena, first);
  b.conv2->forward(pass, first, {}, second, Relu::yes);
  if (!b.downsample) return b.conv3->forward(pass, second, in, out, Relu::yes);
  auto const residual = b.downsample->take_output(pass.arena, in);
  b.downsample->forward(pass, in, {}, residual, Relu::no);
  b.conv3->forward(pass, second, residual, out, Relu::yes);
}

template <class T>
void ResNet<T>::features_backward(Arena& arena, std::span<ImageView const>, View<T, 2> dfeatures,
                                  Last last) {
  ArenaScope const scope(arena);
  Chain chain(arena, shape_, block_maps_.front(), Keep::no);
  auto dmaps = chain.next(block_maps_.back(), dim());
  average_backward(dfeatures, dmaps);
  for (auto i = blocks_.size(); i-- > 0;) {
    auto const din = chain.next(block_maps_[i], blocks_[i].conv1->shape().in);
    block_backward(arena, i, dmaps, din, last);
    dmaps = din;
  }
  stem_backward(arena, dmaps, last);
}

template <class T>
void ResNet<T>::block_backward(Arena& arena, std::size_t index, FeatureMaps<T> const& dout,
                               FeatureMaps<T> const& din, Last last) {
  ArenaScope const scope(arena);
  auto& b = blocks_[index];
  auto const p = store_.gather(block_unit(index), Pass::backward);
  auto const g = store_.gradient(block_unit(index));
  auto const dresidual = take_maps(arena, dout, b.conv3->shape().out);
  auto const dsecond = take_maps(arena, dout, b.conv3->shape().in);
  b.conv3->backward(arena, p, g, dout, dresidual, dsecond);
  auto const dfirst = take_maps(arena, din, b.conv2->shape().in);
  b.conv2->backward(arena, p, g, dsecond, {}, dfirst);
  b.conv1->backward(arena, p, g, dfirst, {}, din);
  auto through = dresidual;
  if (b.downsample) {
    through = take_maps(arena, din, b.downsample->shape().in);
    b.downsample->backward(arena, p, g, dresidual, {}, through);
  }
  for (std::size_t i = 0; i < din.size(); ++i)
    run(space_, Axpy<T>{.a = 1, .x = through[i].rows.flat(), .y = din[i].rows.flat()});
  store_.reduce(block_unit(index), last);
  store_.release(block_unit(index), Pass::backward);
}

template <class T>
void ResNet<T>::stem_backward(Arena& arena, FeatureMaps<T> const& dpooled, Last last) {
  ArenaScope const scope(arena);
  auto const dout = take_maps(arena, stem_out_, shape_.width);
  for (std::size_t i = 0; i < dout.size(); ++i) {
    run(space_, MaxPoolBackward<T>{.windows = pooling(dout[i]),
                                   .dy = dpooled[i].rows,
                                   .argument = stem_argument_[i],
                                   .dx = dout[i].rows});
  }
  auto const p = store_.gather(stem_unit(), Pass::backward);
  stem_.backward(arena, p, store_.gradient(stem_unit()), dout, {}, {});
  store_.reduce(stem_unit(), last);
  store_.release(stem_unit(), Pass::backward);
}

template class ResNet<float>;
template class ResNet<bfloat16>;

}  // namespace dino
