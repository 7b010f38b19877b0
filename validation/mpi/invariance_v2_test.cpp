// SPDX-License-Identifier: Apache-2.0
// The step of DINOv2 and DINOv3 is defined over the global batch too, with all losses, masks,
// stochastic depth and a Gram teacher that is replaced on the way.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "base/philox.hpp"
#include "support/tolerance.hpp"
#include "train/dinov2_step.hpp"
#include "train/drop_path.hpp"

namespace dino::train {
namespace {

constexpr std::int64_t global_batch = 6;  // 4 ranks get shares of 1 and 2
constexpr std::int64_t local_crops = 2;
constexpr std::int64_t depth = 2;

enum class Heads { shared, separate };

struct Case {
  char const* name;
  Centering centering;
  std::optional<std::int64_t> koleo_group = {};
  std::optional<GramObjective> gram = {};  ///< DINOv3
  Heads heads = Heads::separate;
  double masked = 0.5;                                // share of the crops that have masks
  std::int64_t logits_limit = std::int64_t{1} << 30;  // bytes; this much: one tile
  int steps = 20;
};

/// What DINOv3's backbone has other than DINOv2's.
void make_v3(VitShape& shape) {
  shape.rope = Rope{};
  shape.ffn = Ffn::swiglu;
  shape.register_name = "storage_tokens";
  shape.untie_cls_and_patch_norms = shape.untie_global_and_local_cls_norm = true;
}

ModelShape small_model(Case const& c) {
  VitShape backbone{.grid = 4,
                    .patch_size = 4,
                    .embed_dim = 24,
                    .depth = depth,
                    .num_heads = 3,
                    .ffn = Ffn::swiglu_packed,
                    .mlp_hidden = 32,
                    .registers = 2,
                    .mask_token = true,
                    .layer_scale = 0.5F};
  if (c.gram) make_v3(backbone);
  DinoHeadShape const head{.in_dim = 24,
                           .hidden_dim = 20,
                           .bottleneck_dim = 12,
                           .out_dim = 37,
                           .weight_norm = !c.gram,
                           .norm_last_layer = false};
  auto ibot = head;
  ibot.out_dim = 29;
  ModelShape shape{.backbone = backbone, .head = head, .head_prefix = "dino_head."};
  if (c.heads == Heads::separate) shape.ibot_head = ibot;
  return shape;
}

DinoV2Objective objective(Case const& c) {
  DinoV2Objective out{.koleo_group = c.koleo_group,
                      .dino_centering = c.centering,
                      .ibot_centering = c.centering,
                      .pairs = CropPairs::v2(local_crops)};
  if (!c.gram) return out;
  out.pairs = CropPairs::v3(local_crops, CropPairing::all);
  out.scale = TermScale::mean;
  out.gram = c.gram;
  return out;
}

optim::ParameterRules rules() {
  return {.layers = optim::LayerwiseDecay{.depth = depth, .decay = 0.8, .patch_embed = 0.5},
          .clipping = optim::Clipping::module};
}

/// Crops of the images [first, first + images) of a global batch, crop-major.
std::vector<float> crops(std::int64_t step, std::int64_t first, std::int64_t images,
                         std::int64_t begin_crop, std::int64_t count, std::int64_t side) {
  std::vector<float> out;
  for (std::int64_t c = begin_crop; c < begin_crop + count; ++c) {
    for (std::int64_t i = first; i < first + images; ++i) {
      Philox draw(7, Purpose::test, static_cast<std::uint64_t>(step * global_batch + i),
                  static_cast<std::uint32_t>(c));
      double const level = draw.uniform(-1, 1);
      for (std::int64_t k = 0; k < 3 * side * side; ++k)
        out.push_back(static_cast<float>(level + 0.5 * draw.normal()));
    }
  }
  return out;
}

/// A micro-batch that owns what its views show.
struct OwnedBatch {
  std::vector<float> global, local, gram, drop_path;
  CollatedMasks masks;
};

StepBatch make_batch(MaskMaker const& maker, std::int64_t step, std::int64_t first,
                     std::int64_t images) {
  auto const owned = std::make_shared<OwnedBatch>();
  owned->global = crops(step, first, images, 0, 2, 16);
  owned->local = crops(step, first, images, 2, local_crops, 8);
  owned->gram = crops(step, first, images, 0, 2, 24);
  owned->drop_path = SubsetDropPath{.rate = 0.3,
                                    .depth = depth,
                                    .local_crops = local_crops,
                                    .global_batch = global_batch,
                                    .seed = 5}
                         .factors(step, first, images);
  owned->masks = maker.masks(step, first, images);
  CropViews const views{
      .images = images,
      .first = first,
      .global = {owned->global.data(), {2 * images, 3, 16, 16}},
      .local = {owned->local.data(), {local_crops * images, 3, 8, 8}},
      .gram = {owned->gram.data(), {2 * images, 3, 24, 24}},
      .drop_path = {owned->drop_path.data(), {2 * depth, (2 + local_crops) * images}},
      .masks = &owned->masks};
  return {views, owned};
}

/// The losses of all steps, and this rank's part of the gradients of the first.
struct Results {
  std::vector<double> losses;
  std::vector<float> gradients;
};

void copy_gradients(shard::ParameterStore<float>& store, std::vector<float>& out) {
  store.finish_gradients();
  for (int unit = 0; unit < store.units(); ++unit) {
    auto const part = store.gradient_part(unit).span();
    out.insert(out.end(), part.begin(), part.end());
  }
}

/// The steps of a case over `world` with micro-batches of at most `micro` images.
Results run_steps(Communicator const& world, shard::Strategy const& strategy, std::int64_t micro,
                  Case const& c) {
  Space const space = Host{};
  DinoV2Step<float> step(space, world, strategy, small_model(c), rules(), objective(c));
  step.limit_logits(c.logits_limit);
  step.initialize(3);
  Arena arena(space, std::int64_t{64} << 20);
  MaskMaker const maker({.grid_h = 4, .grid_w = 4, .max_block = 8, .sample_probability = c.masked},
                        global_batch, 11);
  auto const share = share_of(global_batch, world.rank(), world.size());
  auto const parts = std::max<std::int64_t>(1, (world.max(share.size()) + micro - 1) / micro);
  Results out;
  for (int s = 0; s < c.steps; ++s) {
    StepSettings const settings{.lr = 2e-3,
                                .weight_decay = 0.1,
                                .momentum = 0.9,
                                .teacher_temperature = 0.07,
                                .clip_grad = 0.3,
                                .last_layer_lr = s < 2 ? 0.0 : 2e-3,
                                .dino_local_weight = 0.5 + 0.02 * s,
                                .gram_weight = 0.3 * s,
                                .iteration = s};
    step.begin(global_batch);
    std::int64_t m = 0;
    step.accumulate(arena,
                    {.micro_batches = parts,
                     .next =
                         [&] {
                           auto const part = share_of(share.size(), m++, parts);
                           return make_batch(maker, s, share.begin + part.begin, part.size());
                         }},
                    settings);
    if (s == 0) copy_gradients(step.student().store, out.gradients);
    auto const result = step.finish(settings, s);
    EXPECT_FALSE(result.fault) << *result.fault;
    out.losses.push_back(result.loss);
  }
  return out;
}

double worst_relative(std::vector<double> const& a, std::vector<double> const& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    worst = std::max(worst, std::abs(a[i] - b[i]) / std::abs(b[i]));
  return worst;
}

/// Losses under any slicing agree with those of one rank and one micro-batch.
void expect_invariance(std::vector<Case> const& cases, std::vector<std::string> const& strategies) {
  auto const world = Communicator::world();
  for (auto const& c : cases) {
    auto const reference = run_steps(Communicator::self(), {}, global_batch, c).losses;
    ASSERT_TRUE(std::isfinite(reference.back()));
    ASSERT_NE(reference.front(), reference.back());
    for (auto const& name : strategies) {
      for (std::int64_t const micro : {global_batch, std::int64_t{1}}) {
        auto const group = world.size() % 2 == 0 ? world.size() / 2 : world.size();
        auto const got =
            run_steps(world, shard::Strategy::named(name, world.size(), group, 1), micro, c).losses;

        auto const worst = worst_relative(got, reference);

        if (world.rank() == 0) {
          std::printf("%-19s %-9s on %d ranks, micro-batches of at most %d: %.2e\n", c.name,
                      name.c_str(), world.size(), static_cast<int>(micro), worst);
        }
        EXPECT_LT(worst, 1e-4) << c.name << ", " << name << ", micro-batch " << micro;
      }
    }
  }
}

TEST(InvarianceV2, LossesDoNotDependOnRanksAccumulationOrStrategy) {
  expect_invariance({{"sinkhorn", Centering::sinkhorn_knopp, std::nullopt},
                     {"centering", Centering::centering, 3}},
                    {"full", "grad_op", "hybrid", "replicate"});
}

// The Gram teacher begins as the teacher of iteration 1, and is replaced after iterations 3, 7, …
TEST(InvarianceV3, LossesDoNotDependOnRanksAccumulationOrStrategy) {
  GramLifeCycle const life_cycle{
      .load_before = 1, .repeated = true, .frequency = 4, .first = 4, .most = 3};
  GramObjective const own{.life_cycle = life_cycle};
  GramObjective of_batch = own;
  of_batch.level = GramLevel::batch;
  of_batch.tokens = GramTokens::masked;
  GramObjective const ema{.ema_teacher = true,
                          .loss = {.negatives = GramNegatives::removed},
                          .level = GramLevel::batch,
                          .tokens = GramTokens::unmasked};
  expect_invariance({{"gram", Centering::sinkhorn_knopp, 3, own},
                     {"gram of the batch", Centering::sinkhorn_knopp, std::nullopt, of_batch},
                     {"gram of the teacher", Centering::sinkhorn_knopp, 3, ema}},
                    {"full", "hybrid"});
}

/// One image or patch at a time; on one rank also several, with teacher logits that are kept, or
/// are computed again.
void expect_equal_for_all_tiles(Communicator const& world, std::int64_t micro, Case c) {
  shard::Strategy const strategy{.group_size = world.size()};
  auto const reference = run_steps(world, strategy, micro, c);
  for (auto const limit : std::array<std::int64_t, 3>{1, 5500, 4500}) {
    SCOPED_TRACE(testing::Message() << limit << " bytes");
    c.logits_limit = limit;
    auto const got = run_steps(world, strategy, micro, c);

    EXPECT_LE(test::deviation(got.gradients, reference.gradients), test::tolerance<float>(64));
    EXPECT_LT(worst_relative(got.losses, reference.losses), 1e-4);
  }
}

TEST(InvarianceV2, LossesAndGradientsDoNotDependOnTiles) {
  auto const world = Communicator::world();
  for (auto const centering : {Centering::sinkhorn_knopp, Centering::centering}) {
    for (auto const heads : {Heads::shared, Heads::separate}) {
      SCOPED_TRACE(testing::Message() << "centering " << static_cast<int>(centering) << ", heads "
                                      << static_cast<int>(heads));
      Case c{.name = "tiles", .centering = centering, .heads = heads, .steps = 2};
      expect_equal_for_all_tiles(world, global_batch, c);
      c.masked = 0.1;  // one crop: most ranks and micro-batches have no masked patch
      expect_equal_for_all_tiles(world, 2, c);
    }
  }
}

TEST(InvarianceV3, LossesAndGradientsDoNotDependOnTiles) {
  GramObjective const ema{.ema_teacher = true};
  Case const c{.name = "tiles", .centering = Centering::sinkhorn_knopp, .gram = ema, .steps = 2};
  expect_equal_for_all_tiles(Communicator::world(), global_batch, c);
  expect_equal_for_all_tiles(Communicator::world(), 2, c);
}

TEST(InvarianceV2, SubsetsOfStochasticDepthAreThoseOfTheGlobalBatch) {
  SubsetDropPath const drop{
      .rate = 0.4, .depth = 3, .local_crops = 2, .global_batch = 10, .seed = 1};
  auto const whole = drop.factors(4, 0, 10);
  auto const part = drop.factors(4, 3, 5);

  for (std::int64_t branch = 0; branch < 6; ++branch) {
    std::array<int, 2> kept{};
    for (std::int64_t crop = 0; crop < 4; ++crop) {
      for (std::int64_t i = 0; i < 10; ++i) {
        auto const factor = whole[static_cast<std::size_t>((branch * 4 + crop) * 10 + i)];
        if (factor != 0) {
          ++kept[crop < 2 ? 0 : 1];
          EXPECT_FLOAT_EQ(factor, 20.0F / 12.0F);
        }
        if (i < 3 || i >= 8) continue;
        EXPECT_EQ(part[static_cast<std::size_t>((branch * 4 + crop) * 5 + i - 3)], factor);
      }
    }
    EXPECT_EQ(kept[0], 12);
    EXPECT_EQ(kept[1], 12);
  }
}

}  // namespace
}  // namespace dino::train
