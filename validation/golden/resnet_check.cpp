// SPDX-License-Identifier: Apache-2.0
// Golden files of the kind backbone whose architecture is a ResNet: images of two sizes in a
// training pass with its gradient and running statistics, then in evaluation with those.
#include <algorithm>

#include "base/error.hpp"
#include "golden/model_arrays.hpp"
#include "model/resnet.hpp"

namespace dino::golden {
namespace {

using Last = shard::ParameterStore<float>::Last;

/// Sizes, read off the parameters.
ResNetShape resnet_shape(GoldenFile const& file) {
  auto const& conv1 = file.at("params/student/backbone.conv1.weight").shape;
  ResNetShape shape{.blocks = {}, .width = conv1.at(0), .channels = conv1.at(1)};
  for (std::size_t stage = 0; stage < shape.blocks.size(); ++stage) {
    auto const block = [&] {
      return "params/student/backbone.layer" + std::to_string(stage + 1) + "." +
             std::to_string(shape.blocks[stage]) + ".conv1.weight";
    };
    while (file.has(block())) ++shape.blocks[stage];
  }
  return shape;
}

/// Images and cotangents of both sizes.
struct Inputs {
  explicit Inputs(GoldenFile const& file) {
    for (std::string const name : {"", "local/"}) {
      auto const& array = file.at("inputs/" + name + "images");
      pixels.push_back(array.floats());
      extents.push_back(
          {array.shape.at(0), array.shape.at(1), array.shape.at(2), array.shape.at(3)});
      auto const part = file.at("inputs/" + name + "cot_features").floats();
      cotangent.insert(cotangent.end(), part.begin(), part.end());
    }
  }
  std::vector<ImageView> views() const {
    return {{pixels[0].data(), extents[0]}, {pixels[1].data(), extents[1]}};
  }
  std::vector<std::vector<float>> pixels;
  std::vector<std::array<std::int64_t, 4>> extents;
  std::vector<float> cotangent;
};

void compare_features(Report& report, std::string const& mode, View<float const, 2> features,
                      std::int64_t globals) {
  report.compare(mode + "features", features.rows(0, globals).span(), backbone_tolerance);
  report.compare(mode + "local/features", features.rows(globals, features.extent(0)).span(),
                 backbone_tolerance);
}

void compare_parameters(Report& report, shard::ParameterStore<float> const& store) {
  for (int unit = 0; unit < store.units(); ++unit) {
    auto const& layout = store.layout(unit);
    auto const flat = store.is_buffers(unit) ? store.master(unit) : store.gradient_part(unit);
    for (std::size_t p = 0; p < layout.spec().parameters.size(); ++p) {
      auto const& row = layout.spec().parameters[p];
      auto const values = flat.rows(layout.offset(p), layout.offset(p) + row.size());
      auto const name = layout.spec().prefix + row.name;
      report.compare((store.is_buffers(unit) ? "running/" : "grad/") + name, values.span(),
                     backbone_gradient_tolerance);
    }
  }
}

}  // namespace

void check_resnet(GoldenFile const& file, Report& report) {
  Space const space = Host{};
  auto const shape = resnet_shape(file);
  shard::ParameterStore<float> store(space, {Communicator::self(), Communicator::self()}, {},
                                     resnet_units(shape, "backbone."), shard::Role::student);
  load_parameters(store, file, "student");
  ResNet<float> net(space, Communicator::self(), shape, store, 0);
  Inputs const inputs(file);
  auto const images = inputs.views();
  auto const globals = images.front().extent(0);
  Arena arena(space, std::int64_t{2} << 30);
  net.begin_step();

  auto const features = net.features(arena, images, {}, Mode::training, Keep::yes);
  auto const gradient = arena.take<float, 2>(features.extents());
  require(gradient.span().size() == inputs.cotangent.size(), ExitCode::input,
          "inputs/cot_features has {} values in all, there are {} features",
          inputs.cotangent.size(), gradient.size());
  std::ranges::copy(inputs.cotangent, gradient.data());
  net.features_backward(arena, images, gradient, Last::yes);
  store.finish_gradients();
  net.finish_step();

  compare_features(report, "", features, globals);
  compare_parameters(report, store);
  compare_features(report, "eval/", net.features(arena, images, {}, Mode::evaluation, Keep::no),
                   globals);
}

}  // namespace dino::golden
