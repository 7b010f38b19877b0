// SPDX-License-Identifier: Apache-2.0
// A step is defined over the global batch: ranks, micro-batches and sharding only slice it.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "base/philox.hpp"
#include "support/tolerance.hpp"
#include "train/drop_path.hpp"
#include "train/step.hpp"

namespace dino::train {
namespace {

constexpr std::int64_t global_batch = 6;  // 4 ranks get shares of 1 and 2
constexpr std::int64_t local_crops = 2;

ModelShape small_model() {
  return {.backbone = {.grid = 3,
                       .patch_size = 4,
                       .embed_dim = 24,
                       .depth = 2,
                       .num_heads = 3,
                       .mlp_hidden = 48},
          .head = {.in_dim = 24,
                   .hidden_dim = 20,
                   .bottleneck_dim = 12,
                   .out_dim = 37,
                   .norm_last_layer = false}};
}

/// Pixels of crop `crop` of the image at global position `position`: noise around a level of its
/// own.
void fill_crop(float* pixels, std::int64_t count, std::int64_t position, std::int64_t crop) {
  Philox draw(7, Purpose::test, static_cast<std::uint64_t>(position),
              static_cast<std::uint32_t>(crop));
  double const level = draw.uniform(-1, 1);
  for (std::int64_t i = 0; i < count; ++i)
    pixels[i] = static_cast<float>(level + 0.3 * draw.normal());
}

std::vector<float> crops(std::int64_t first, std::int64_t images, std::int64_t begin_crop,
                         std::int64_t count, std::int64_t side) {
  auto const values = 3 * side * side;
  std::vector<float> out(static_cast<std::size_t>(count * images * values));
  for (std::int64_t c = 0; c < count; ++c) {
    for (std::int64_t i = 0; i < images; ++i) {
      fill_crop(out.data() + (c * images + i) * values, values, first + i, begin_crop + c);
    }
  }
  return out;
}

struct Slicing {
  std::int64_t begin, end, micro_batches;
};

Slicing slice(Communicator const& world, std::int64_t micro) {
  auto const share = share_of(global_batch, world.rank(), world.size());
  return {share.begin, share.end,
          std::max<std::int64_t>(1, (world.max(share.size()) + micro - 1) / micro)};
}

constexpr std::int64_t enough = std::int64_t{1} << 30;  // bytes of logits: one tile

/// The losses of all steps, and this rank's part of the gradients of the first.
struct Results {
  std::vector<double> losses;
  std::vector<float> gradients;
  std::int64_t logits_bytes = 0;
};

void copy_gradients(shard::ParameterStore<float>& store, std::vector<float>& out) {
  store.finish_gradients();
  for (int unit = 0; unit < store.units(); ++unit) {
    auto const part = store.gradient_part(unit).span();
    out.insert(out.end(), part.begin(), part.end());
  }
}

/// Steps over `world` with micro-batches of at most `micro` images.
Results run_steps(Communicator const& world, shard::Strategy const& strategy, std::int64_t micro,
                  std::int64_t logits_limit = enough, int steps = 20) {
  Space const space = Host{};
  DinoStep<float> step(space, world, strategy, small_model(), 0.9);
  step.limit_logits(logits_limit);
  step.initialize(3);
  Arena arena(space, std::int64_t{64} << 20);
  auto const part = slice(world, micro);
  Results out;
  for (int s = 0; s < steps; ++s) {
    StepSettings const settings{.lr = 2e-3,
                                .weight_decay = 0.1,
                                .momentum = 0.9,
                                .freeze_last_layer = s < 2,
                                .clip_grad = 0.3};
    step.begin(global_batch);
    for (std::int64_t m = 0; m < part.micro_batches; ++m) {
      auto const share = share_of(part.end - part.begin, static_cast<int>(m),
                                  static_cast<int>(part.micro_batches));
      auto const first = s * global_batch + part.begin + share.begin;
      auto const images = share.size();
      auto const global = crops(first, images, 0, 2, 12);
      auto const local = crops(first, images, 2, local_crops, 8);
      std::vector<std::int64_t> positions;
      for (std::int64_t i = 0; i < images; ++i) positions.push_back(first + i);
      auto const factors = drop_path_factors(0.3, 2, 2 + local_crops, 5, positions);
      ArenaScope const scope(arena);
      step.micro_batch(
          arena,
          {.images = images,
           .global = {global.data(), {2 * images, 3, 12, 12}},
           .local = {local.data(), {local_crops * images, 3, 8, 8}},
           .drop_path = {factors.data(), {4, (2 + local_crops) * images}}},
          settings,
          m + 1 == part.micro_batches ? DinoStep<float>::Last::yes : DinoStep<float>::Last::no);
    }
    if (s == 0) copy_gradients(step.student().store, out.gradients);
    out.losses.push_back(step.finish(settings, s).loss);
  }
  out.logits_bytes = step.logits_bytes();
  return out;
}

double worst_relative(std::vector<double> const& a, std::vector<double> const& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    worst = std::max(worst, std::abs(a[i] - b[i]) / std::abs(b[i]));
  return worst;
}

TEST(Invariance, LossesDoNotDependOnRanksAccumulationOrStrategy) {
  auto const world = Communicator::world();
  auto const reference = run_steps(Communicator::self(), {}, global_batch).losses;
  ASSERT_TRUE(std::isfinite(reference.back()));
  ASSERT_NE(reference.front(), reference.back());
  for (std::string const name : {"full", "grad_op", "hybrid", "replicate"}) {
    for (std::int64_t const micro : {global_batch, std::int64_t{1}}) {
      auto const group = world.size() % 2 == 0 ? world.size() / 2 : world.size();
      auto const got =
          run_steps(world, shard::Strategy::named(name, world.size(), group, 1), micro).losses;

      auto const worst = worst_relative(got, reference);

      if (world.rank() == 0) {
        std::printf(
            "%-9s on %d ranks, micro-batches of at most %d: worst relative difference %.2e\n",
            name.c_str(), world.size(), static_cast<int>(micro), worst);
      }
      EXPECT_LT(worst, 1e-4) << name << ", micro-batch " << micro;
    }
  }
}

// One image at a time; on one rank also three, with teacher logits that are kept or are not.
TEST(Invariance, LossesAndGradientsDoNotDependOnTiles) {
  auto const world = Communicator::world();
  shard::Strategy const strategy{.group_size = world.size()};
  constexpr std::int64_t one_image = 37 * 6 * 4 + 192;  // K, rows, float32, alignment
  auto const reference = run_steps(world, strategy, global_batch, enough, 3);
  for (auto const limit : std::array<std::int64_t, 3>{1, 4000, 3500}) {
    auto const got = run_steps(world, strategy, global_batch, limit, 3);

    SCOPED_TRACE(testing::Message() << limit << " bytes, used " << got.logits_bytes);
    EXPECT_LE(got.logits_bytes, std::max(limit, one_image));
    EXPECT_LE(test::deviation(got.gradients, reference.gradients), test::tolerance<float>(64));
    EXPECT_LT(worst_relative(got.losses, reference.losses), 1e-4);
  }
}

TEST(Invariance, BytesPerRankFallAsOneOverTheRanks) {
  auto const world = Communicator::world();
  auto const shape = ModelShape{.backbone = {.depth = 3}, .head = {.out_dim = 1024}};
  auto const held = [&](Communicator const& comm, int group) {
    DinoStep<float> step(Host{}, comm, {.group_size = group}, shape, 0.9);
    auto const s = step.student().store.bytes();
    return static_cast<double>(s.parameters + s.gradients + s.optimizer +
                               step.teacher().store.bytes().parameters);
  };

  auto const ratio = held(world, world.size()) / held(Communicator::self(), 1);

  EXPECT_NEAR(ratio * world.size(), 1.0, 0.05);
}

}  // namespace
}  // namespace dino::train
