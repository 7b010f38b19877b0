// SPDX-License-Identifier: Apache-2.0
// What golden files do not hold: draws of a training step, dropped remainders, bfloat16.
#include "model/vit.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.hpp"
#include "base/philox.hpp"
#include "support/gradient_check.hpp"
#include "support/tolerance.hpp"

namespace dino {
namespace {

/// All that DINOv3 adds, small.
VitShape small_shape() {
  return {.patch_size = 4,
          .channels = 2,
          .embed_dim = 16,
          .depth = 2,
          .num_heads = 2,
          .ffn = Ffn::swiglu,
          .mlp_hidden = 24,
          .mask_k_bias = true,
          .registers = 2,
          .register_name = "storage_tokens",
          .mask_token = true,
          .layer_scale = 0.5F,
          .norm = Norm::rms,
          .untie_cls_and_patch_norms = true,
          .untie_global_and_local_cls_norm = true,
          .rope = Rope{},
          .interpolation = {}};
}

std::vector<float> random_values(std::int64_t count, std::uint64_t seed, double deviation = 1) {
  Philox random(seed, Purpose::test, 0);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (auto& v : values) v = static_cast<float>(deviation * random.normal());
  return values;
}

/// A ViT with its store: two global crops of 11 x 14 pixels (a remainder is dropped) and three
/// local ones of 4 x 8, the second of the first masked in part.
template <class T>
struct Model {
  explicit Model(VitShape const& s)
      : shape(s),
        store(space, {Communicator::self(), Communicator::self()}, {}, vit_units(s, "backbone."),
              shard::Role::student),
        vit(space, s, store, 0),
        global(random_values(2 * 2 * 11 * 14, 1)),
        local(random_values(3 * 2 * 4 * 8, 2)),
        masked(2 * 2 * 3) {
    masked[7] = masked[9] = 1;
    store.initialize(1);
    for (int unit = 0; unit < store.units(); ++unit) {
      auto const master = store.master(unit);
      auto const noise = random_values(master.size(), 100 + static_cast<std::uint64_t>(unit), 0.3);
      for (std::int64_t i = 0; i < master.size(); ++i)
        master[i] += noise[static_cast<std::size_t>(i)];
    }
    store.invalidate();
  }

  std::vector<ImageView> images() const {
    return {{global.data(), {2, 2, 11, 14}}, {local.data(), {3, 2, 4, 8}}};
  }
  std::vector<MaskView> masks() const { return {{masked.data(), {2, 6}}, {}}; }
  /// Factors of three crops are 0 in one branch or another.
  VitDraws draws() {
    drop_path = std::vector<float>(static_cast<std::size_t>(2 * shape.depth * 5), 1.25F);
    drop_path[1] = drop_path[8] = drop_path[12] = 0;
    rope = RopeAugmentation{.shift = 0.2, .jitter = 1.5, .rescale = 2}.draws(3, 4, shape.depth);
    return {{drop_path.data(), {2 * shape.depth, 5}}, {rope.data(), {shape.depth, 2}}};
  }
  /// Class and storage tokens of the global crops, patches of the first, tokens of a local crop.
  std::vector<std::int32_t> rows() const {
    std::vector<std::int32_t> out{0, 1, 2, 9, 10, 11};
    for (std::int32_t row = 3; row < 9; ++row) out.push_back(row);
    for (std::int32_t row = 18; row < 23; ++row) out.push_back(row);
    return out;
  }
  std::vector<RowGroup> groups() const {
    return {{6, TokenKind::prefix},
            {6, TokenKind::patch},
            {3, TokenKind::local_prefix},
            {2, TokenKind::patch}};
  }

  /// Normalised rows; the forward pass of a training step.
  View<T, 2> forward(Keep keep) {
    auto const sizes = images();
    auto const mask = masks();
    auto const x = vit.forward(arena, sizes, draws(), keep, mask);
    picked = rows();
    View<std::int32_t const, 1> const view{picked.data(), {17}};
    return vit.normalize(arena, vit.gather_rows(arena, x, view), keep, groups());
  }
  std::vector<double> features(Keep keep) {
    ArenaScope const scope(arena);
    auto const y = forward(keep);
    std::vector<double> out;
    for (auto const v : y.span()) out.push_back(static_cast<float>(v));
    return out;
  }

  Space space = Host{};
  VitShape shape;
  shard::ParameterStore<T> store;
  Vit<T> vit;
  Arena arena{Space(Host{}), std::int64_t{1} << 22};
  std::vector<float> global, local;
  std::vector<std::uint8_t> masked;
  std::vector<float> drop_path;
  std::vector<RopeDraw> rope;
  std::vector<std::int32_t> picked;
};

using FloatModel = Model<float>;

TEST(VitV3, GivesTheSameWithAndWithoutKeepingForBackward) {
  FloatModel model(small_shape());

  EXPECT_EQ(model.features(Keep::no), model.features(Keep::yes));
}

TEST(VitV3, DrawsChangeWhatBlocksSee) {
  FloatModel model(small_shape());
  auto const with = model.features(Keep::no);
  auto const sizes = model.images();
  auto const draws = model.draws();
  ArenaScope const scope(model.arena);

  auto const forward = [&](View<RopeDraw const, 2> rope) {
    auto const x = model.vit.forward(model.arena, sizes, {{}, rope}, Keep::no);
    return std::vector<float>(x.span().begin(), x.span().end());
  };
  auto swapped = model.rope;
  std::swap(swapped[0], swapped[2]);
  std::swap(swapped[1], swapped[3]);

  auto const plain = forward({}), drawn = forward(draws.rope);
  EXPECT_NE(plain, drawn);
  EXPECT_NE(forward({swapped.data(), {2, 2}}), drawn);
  EXPECT_EQ(forward(draws.rope), drawn);
}

/// f(unit's values, a fixed random direction in them) for every unit.
template <class F>
void for_units(FloatModel& model, F const& f) {
  for (int unit = 0; unit < model.store.units(); ++unit)
    f(unit, random_values(model.store.master(unit).size(), 200 + static_cast<std::uint64_t>(unit)));
}

/// All parameters move by `step` along the direction.
void move(FloatModel& model, double step) {
  for_units(model, [&](int unit, std::vector<float> const& direction) {
    auto const master = model.store.master(unit);
    for (std::int64_t i = 0; i < master.size(); ++i)
      master[i] += static_cast<float>(step) * direction[static_cast<std::size_t>(i)];
  });
  model.store.invalidate();
}

/// Slope of Σ <features, cotangent> along the direction, by backward.
double slope(FloatModel& model, std::vector<float> const& cotangent) {
  using Last = shard::ParameterStore<float>::Last;
  auto const y = model.forward(Keep::yes);
  auto const dy = model.arena.take<float, 2>(y.extents());
  std::copy(cotangent.begin(), cotangent.end(), dy.data());
  model.vit.normalize_backward(dy, dy, Last::yes);
  View<std::int32_t const, 1> const rows{model.picked.data(), {dy.extent(0)}};
  model.vit.backward(model.arena, model.images(), model.vit.scatter_rows(model.arena, dy, rows),
                     Last::yes);
  model.store.finish_gradients();
  double sum = 0;
  for_units(model, [&](int unit, std::vector<float> const& direction) {
    auto const gradient = model.store.gradient_part(unit);
    for (std::int64_t i = 0; i < gradient.size(); ++i)
      sum += static_cast<double>(gradient[i]) * direction[static_cast<std::size_t>(i)];
  });
  return sum;
}

/// The same by a central difference.
double difference(FloatModel& model, double step, std::vector<float> const& cotangent) {
  std::vector<double> const weights(cotangent.begin(), cotangent.end());
  move(model, step);
  double const above = test::inner_product(model.features(Keep::no), weights);
  move(model, -2 * step);
  double const below = test::inner_product(model.features(Keep::no), weights);
  move(model, step);
  return (above - below) / (2 * step);
}

TEST(VitV3, BackwardAgreesWithDifferencesAlongADirection) {
  // Rounding of the loss over the step; the square of the step is extrapolated away.
  constexpr double step = 1e-3, bound = 5e-4;
  for (auto const norm : {Norm::rms, Norm::layer}) {
    auto shape = small_shape();
    shape.norm = norm;
    FloatModel model(shape);
    auto const cotangent = random_values(17 * shape.embed_dim, 5);

    double const backward = slope(model, cotangent);

    double const expected =
        (4 * difference(model, step, cotangent) - difference(model, 2 * step, cotangent)) / 3;
    EXPECT_NEAR(backward, expected, bound * std::abs(expected));
  }
}

TEST(VitV3, TheBiasOfTheKeysHasNoEffectAndNoGradient) {
  FloatModel model(small_shape());
  auto const before = model.features(Keep::no);
  auto const& layout = model.store.layout(1);
  auto const bias = layout.offset(static_cast<std::size_t>(layout.find("attn.qkv.bias")));
  for (std::int64_t i = 16; i < 32; ++i) model.store.master(1)[bias + i] = 1e6F;
  model.store.invalidate();

  EXPECT_EQ(model.features(Keep::no), before);
}

TEST(VitV3, DropsTheRemainderOfAPatch) {
  FloatModel model(small_shape());
  std::vector<float> cut;
  for (std::size_t line = 0; line < 4 * 11; ++line) {
    if (line % 11 >= 8) continue;
    auto const begin = model.global.begin() + static_cast<std::ptrdiff_t>(line * 14);
    cut.insert(cut.end(), begin, begin + 12);
  }
  ImageView const whole{model.global.data(), {2, 2, 11, 14}}, part{cut.data(), {2, 2, 8, 12}};

  auto const a = model.vit.forward(model.arena, std::span(&whole, 1), {}, Keep::no);
  auto const b = model.vit.forward(model.arena, std::span(&part, 1), {}, Keep::no);

  EXPECT_TRUE(std::equal(a.span().begin(), a.span().end(), b.span().begin(), b.span().end()));
}

TEST(VitV2, RefusesTheRemainderOfAPatch) {
  auto shape = small_shape();
  shape.whole_patches = true;
  FloatModel model(shape);
  auto const images = model.images();

  try {
    model.vit.make_layout(images);
    ADD_FAILURE();
  } catch (Error const& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_THAT(error.what(), testing::HasSubstr("images of 11 x 14 pixels have no whole number"));
  }
}

TEST(VitV3, Bfloat16FollowsFloat32) {
  FloatModel wide(small_shape());
  Model<bfloat16> narrow(small_shape());

  auto const expected = wide.features(Keep::no);

  // About ten roundings of activations follow one another in each block.
  EXPECT_LE(test::deviation(narrow.features(Keep::no), expected), 5 * test::tolerance<bfloat16>());
  EXPECT_EQ(narrow.features(Keep::no), narrow.features(Keep::yes));
}

TEST(VitUnits, FollowTheOptions) {
  auto const names = [](VitShape const& shape) {
    std::vector<std::string> out;
    for (auto const& unit : vit_units(shape, "backbone.")) {
      for (auto const& parameter : unit.parameters) out.push_back(unit.prefix + parameter.name);
    }
    return out;
  };
  auto shape = small_shape();
  shape.depth = 1;
  shape.qkv_bias = shape.proj_bias = shape.ffn_bias = false;
  using testing::Not, testing::Contains, testing::EndsWith;

  EXPECT_THAT(names(shape),
              testing::UnorderedElementsAre(
                  "backbone.cls_token", "backbone.storage_tokens", "backbone.mask_token",
                  "backbone.patch_embed.proj.weight", "backbone.patch_embed.proj.bias",
                  "backbone.blocks.0.norm1.weight", "backbone.blocks.0.attn.qkv.weight",
                  "backbone.blocks.0.attn.proj.weight", "backbone.blocks.0.ls1.gamma",
                  "backbone.blocks.0.norm2.weight", "backbone.blocks.0.mlp.w1.weight",
                  "backbone.blocks.0.mlp.w2.weight", "backbone.blocks.0.mlp.w3.weight",
                  "backbone.blocks.0.ls2.gamma", "backbone.norm.weight", "backbone.cls_norm.weight",
                  "backbone.local_cls_norm.weight"));
  shape.norm = Norm::layer;
  EXPECT_THAT(names(shape), Contains("backbone.local_cls_norm.bias"));
  shape.untie_cls_and_patch_norms = false;
  EXPECT_THAT(names(shape), Not(Contains(testing::HasSubstr(".cls_norm"))));
}

}  // namespace
}  // namespace dino
