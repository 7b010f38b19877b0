// SPDX-License-Identifier: Apache-2.0
#include "model/resnet.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/philox.hpp"
#include "support/tolerance.hpp"
#include "unit/model/resnet_reference.hpp"

namespace dino {
namespace {

using Arrays = test::ReferenceResNet::Arrays;

ResNetShape small_shape() {
  return {.blocks = {1, 2, 1, 1}, .width = 2, .channels = 2};
}

std::vector<float> random_values(std::int64_t count, std::uint64_t seed, double deviation = 1) {
  Philox random(seed, Purpose::test, 0);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (auto& v : values) v = static_cast<float>(deviation * random.normal());
  return values;
}

/// A ResNet with its store: three global crops of 37 x 33 pixels, four local ones of 32 x 35.
template <class T>
struct Model {
  explicit Model(ResNetShape const& s)
      : shape(s),
        store(space, {Communicator::self(), Communicator::self()}, {}, resnet_units(s, "backbone."),
              shard::Role::student),
        net(space, Communicator::self(), s, store, 0),
        global(random_values(3 * 2 * 37 * 33, 1)),
        local(random_values(4 * 2 * 32 * 35, 2)) {
    store.initialize(1);
    // Norms away from their first values.
    for (int unit = 0; unit < store.units(); ++unit) {
      auto const master = store.master(unit);
      auto const noise = random_values(master.size(), 100 + static_cast<std::uint64_t>(unit), 0.1);
      for (std::int64_t i = 0; i < master.size(); ++i)
        master[i] += std::abs(noise[static_cast<std::size_t>(i)]);
    }
    store.invalidate();
  }

  std::vector<ImageView> images() const {
    return {{global.data(), {3, 2, 37, 33}}, {local.data(), {4, 2, 32, 35}}};
  }
  std::vector<double> features(Mode mode, Keep keep) {
    ArenaScope const scope(arena);
    auto const sizes = images();
    auto const y = net.features(arena, sizes, {}, mode, keep);
    std::vector<double> out;
    for (auto const v : y.span()) out.push_back(static_cast<float>(v));
    return out;
  }
  /// f(name, values of it in `part(unit)`) for every parameter and buffer.
  template <class F>
  void each(F const& part, auto const& f) {
    for (int unit = 0; unit < store.units(); ++unit) {
      auto const& layout = store.layout(unit);
      for (std::size_t p = 0; p < layout.spec().parameters.size(); ++p) {
        auto const& row = layout.spec().parameters[p];
        auto const begin = layout.offset(p);
        auto const all = part(unit);
        if (all.size() > 0) f(layout.spec().prefix + row.name, all.rows(begin, begin + row.size()));
      }
    }
  }
  Arrays arrays() {
    Arrays out;
    each([this](int unit) { return store.master(unit); },
         [&](std::string const& name, View<float, 1> v) {
           out[name].assign(v.span().begin(), v.span().end());
         });
    return out;
  }

  Space space = Host{};
  ResNetShape shape;
  shard::ParameterStore<T> store;
  ResNet<T> net;
  Arena arena{Space(Host{}), std::int64_t{1} << 24};
  std::vector<float> global, local;
};

/// The features of both sizes by the definition, one size after the other.
std::vector<double> expected_features(Model<float> const& model, Arrays& arrays, Mode mode) {
  test::ReferenceResNet reference(model.shape, arrays, mode);
  auto out = reference.features(
      {3, 2, 37, 33, std::vector<double>(model.global.begin(), model.global.end())});
  auto const local = reference.features(
      {4, 2, 32, 35, std::vector<double>(model.local.begin(), model.local.end())});
  out.insert(out.end(), local.begin(), local.end());
  return out;
}

constexpr std::int64_t sums = 4096;  // values that statistics and gradients are summed over

TEST(ResNet, FeaturesAndRunningStatisticsAreThoseOfTheDefinition) {
  Model<float> model(small_shape());
  auto arrays = model.arrays();
  auto const before = arrays;

  model.net.begin_step();
  auto const trained = model.features(Mode::training, Keep::no);
  EXPECT_EQ(model.arrays(), before);  // until the step counts
  model.net.finish_step();
  auto const evaluated = model.features(Mode::evaluation, Keep::no);

  auto const expected = expected_features(model, arrays, Mode::training);
  EXPECT_LE(test::deviation(trained, expected), test::tolerance<float>(sums));
  for (auto const& [name, values] : model.arrays()) {
    if (name.find(".running_") == std::string::npos) continue;
    EXPECT_NE(values, before.at(name)) << name;
    EXPECT_LE(test::deviation(values, arrays.at(name)), test::tolerance<float>(sums)) << name;
  }
  EXPECT_LE(test::deviation(evaluated, expected_features(model, arrays, Mode::evaluation)),
            test::tolerance<float>(sums));
}

TEST(ResNet, AnUnfinishedStepIsForgotten) {
  Model<float> model(small_shape()), other(small_shape());
  model.net.begin_step();
  model.features(Mode::training, Keep::no);
  for (auto* const m : {&model, &other}) {
    m->net.begin_step();
    m->features(Mode::training, Keep::no);
    m->net.finish_step();
  }

  EXPECT_EQ(model.arrays(), other.arrays());
}

TEST(ResNet, GivesTheSameWithAndWithoutKeepingForBackward) {
  Model<float> model(small_shape());

  EXPECT_EQ(model.features(Mode::training, Keep::no), model.features(Mode::training, Keep::yes));
}

/// Some elements of every parameter; the whole of none but the smallest.
std::vector<std::size_t> probes(std::size_t size) {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < std::min<std::size_t>(size, 3); ++i)
    out.push_back(i * (size - 1) / 2);
  return out;
}

TEST(ResNet, BackwardIsTheGradientByCentralDifferences) {
  Model<float> model(small_shape());
  auto const images = model.images();
  auto const cotangent = random_values(7 * model.shape.dim(), 5);
  {
    auto const y = model.net.features(model.arena, images, {}, Mode::training, Keep::yes);
    auto const dy = model.arena.take<float, 2>(y.extents());
    std::copy(cotangent.begin(), cotangent.end(), dy.data());
    model.net.features_backward(model.arena, images, dy, shard::ParameterStore<float>::Last::yes);
    model.store.finish_gradients();
  }
  auto const arrays = model.arrays();
  auto const loss = [&](std::string const& name, std::size_t i, double value) {
    auto moved = arrays;
    moved[name][i] = value;
    auto const y = expected_features(model, moved, Mode::training);
    double sum = 0;
    for (std::size_t k = 0; k < y.size(); ++k) sum += y[k] * static_cast<double>(cotangent[k]);
    return sum;
  };

  // A step so small that no ReLU and no maximum changes its side.
  constexpr double step = 1e-7;
  std::int64_t compared = 0;
  model.each(
      [&](int unit) { return model.store.gradient_part(unit); },
      [&](std::string const& name, View<float, 1> gradient) {
        std::vector<double> got, expected;
        for (auto const i : probes(gradient.span().size())) {
          double const at = arrays.at(name)[i];
          got.push_back(static_cast<double>(gradient.span()[i]));
          expected.push_back((loss(name, i, at + step) - loss(name, i, at - step)) / (2 * step));
        }
        compared += static_cast<std::int64_t>(got.size());
        EXPECT_LE(test::deviation(got, expected), test::tolerance<float>(sums)) << name;
      });
  EXPECT_GE(compared, 150);
}

TEST(ResNet, Bfloat16FollowsFloat32) {
  Model<float> wide(small_shape());
  Model<bfloat16> narrow(small_shape());

  auto const expected = wide.features(Mode::training, Keep::no);

  // Some twenty roundings of activations follow one another.
  EXPECT_LE(test::deviation(narrow.features(Mode::training, Keep::no), expected),
            5 * test::tolerance<bfloat16>());
  EXPECT_EQ(narrow.features(Mode::training, Keep::no), narrow.features(Mode::training, Keep::yes));
}

TEST(ResNet, TakesNoImages) {
  Model<float> model(small_shape());
  ImageView const none{model.global.data(), {0, 2, 37, 33}};
  model.net.begin_step();

  auto const y =
      model.net.features(model.arena, std::span(&none, 1), {}, Mode::training, Keep::yes);
  model.net.features_backward(model.arena, std::span(&none, 1), y,
                              shard::ParameterStore<float>::Last::yes);

  EXPECT_EQ(y.extent(0), 0);
}

// Source: method.md 1.1: about 23.5 M without fc; torchvision's ResNet-50 has 25,557,032 with it.
TEST(ResNetUnits, AreThoseOfResNet50) {
  std::int64_t parameters = 0, buffers = 0;
  std::vector<std::string> names;
  for (auto const& unit : resnet_units({}, "backbone.")) {
    for (auto const& row : unit.parameters) {
      (unit.buffers ? buffers : parameters) += row.size();
      EXPECT_EQ(row.trained == shard::Trained::no, unit.buffers) << row.name;
      EXPECT_EQ(row.decay == shard::Decay::yes, row.shape.size() == 4) << row.name;
      names.push_back(unit.prefix + row.name);
    }
  }

  EXPECT_EQ(parameters, 25557032 - (2048 * 1000 + 1000));
  EXPECT_EQ(buffers, 53120);
  for (auto const* const name :
       {"backbone.conv1.weight", "backbone.bn1.running_var",
        "backbone.layer1.0.downsample.0.weight", "backbone.layer1.0.downsample.1.running_mean",
        "backbone.layer3.5.bn2.bias", "backbone.layer4.2.conv3.weight"})
    EXPECT_THAT(names, testing::Contains(name));
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

}  // namespace
}  // namespace dino
