// SPDX-License-Identifier: Apache-2.0
// A student that learns from a frozen teacher: the step is defined over the global batch, the
// teacher stays as it is, and the EMA follows the student alone.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "base/philox.hpp"
#include "support/tolerance.hpp"
#include "train/dinov2_step.hpp"

namespace dino::train {
namespace {

constexpr std::int64_t global_batch = 6;  // 4 ranks get shares of 1 and 2
constexpr std::int64_t local_crops = 2;

struct Sizes {
  std::int64_t dim, depth, registers, bottleneck;
};
constexpr Sizes student_sizes{24, 2, 2, 12}, teacher_sizes{36, 3, 1, 20};

ModelShape model_of(Sizes const& s) {
  VitShape const backbone{.grid = 4,
                          .patch_size = 4,
                          .embed_dim = s.dim,
                          .depth = s.depth,
                          .num_heads = 3,
                          .ffn = Ffn::swiglu,
                          .mlp_hidden = 32,
                          .registers = s.registers,
                          .register_name = "storage_tokens",
                          .mask_token = true,
                          .layer_scale = 0.5F,
                          .rope = Rope{}};
  DinoHeadShape const head{.in_dim = s.dim,
                           .hidden_dim = 20,
                           .bottleneck_dim = s.bottleneck,
                           .out_dim = 37,
                           .weight_norm = false,
                           .norm_last_layer = false};
  auto ibot = head;
  ibot.out_dim = 29;
  return {.backbone = backbone, .head = head, .head_prefix = "dino_head.", .ibot_head = ibot};
}

struct Case {
  char const* name;
  Centering centering = Centering::sinkhorn_knopp;
  std::optional<ModelShape> frozen = model_of(teacher_sizes);  ///< else the EMA makes the targets
  bool gram = false;
  bool masked = true;  ///< whether masks hide anything of the student's crops where it is masked
  double momentum = 0.9;
  int steps = 6;
  double lr = 2e-3;
  Sizes student = student_sizes;
};

/// A slice of the global batch in micro-batches of at most `micro` images, as many on all ranks.
struct Slice {
  Share share;
  std::int64_t parts;
  Slice(Communicator const& ranks, std::int64_t micro)
      : share(share_of(global_batch, ranks.rank(), ranks.size())),
        parts(std::max<std::int64_t>(
            1, ((global_batch + ranks.size() - 1) / ranks.size() + micro - 1) / micro)) {}
  Share part(std::int64_t m) const {
    auto const inner = share_of(share.size(), m, parts);
    return {share.begin + inner.begin, share.begin + inner.end};
  }
};

DinoV2Objective objective(Case const& c) {
  DinoV2Objective out{.koleo_group = 3,
                      .dino_centering = c.centering,
                      .ibot_centering = c.centering,
                      .pairs = CropPairs::v3(local_crops, CropPairing::different),
                      .scale = TermScale::mean};
  if (c.gram) out.gram = GramObjective{.life_cycle = {.load_before = 2}};
  return out;
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
  std::vector<float> global, local;
  CollatedMasks masks;
};

StepBatch make_batch(Case const& c, std::int64_t step, std::int64_t first, std::int64_t images) {
  MaskMaker const maker({.grid_h = 4, .grid_w = 4, .max_block = 8}, global_batch, 11);
  auto const owned = std::make_shared<OwnedBatch>();
  owned->global = crops(step, first, images, 0, 2, 16);
  owned->local = crops(step, first, images, 2, local_crops, 8);
  owned->masks = maker.masks(step, first, images);
  if (!c.masked) std::ranges::fill(owned->masks.masks, std::uint8_t{0});
  CropViews const views{.images = images,
                        .first = first,
                        .global = {owned->global.data(), {2 * images, 3, 16, 16}},
                        .local = {owned->local.data(), {local_crops * images, 3, 8, 8}},
                        .masks = &owned->masks};
  return {views, owned};
}

std::vector<float> masters(shard::ParameterStore<float>& store) {
  std::vector<float> out;
  for (int unit = 0; unit < store.units(); ++unit) {
    auto const part = store.master(unit).span();
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}

/// A step and what it needs, on some ranks.
struct Trainer {
  Communicator world;
  Case c;
  Space space = Host{};
  std::unique_ptr<DinoV2Step<float>> step;
  Arena arena{space, std::int64_t{64} << 20};

  std::optional<SharedPasses> passes;

  /// \param shared  how the teacher passes over the batch, where it does for several students
  Trainer(Communicator const& ranks, shard::Strategy const& strategy, Case const& given,
          std::optional<SharedPasses> shared = {})
      : world(ranks), c(given), passes(std::move(shared)) {
    std::unique_ptr<FrozenTeacher<float>> frozen;
    if (c.frozen) {
      Spread const spread{world, strategy};
      frozen = std::make_unique<FrozenTeacher<float>>(
          space, spread, TeacherSource{.shape = *c.frozen, .shared = passes});
      frozen->initialize(3);
    }
    auto const shape = model_of(c.student);
    optim::ParameterRules const rules{
        .layers = optim::LayerwiseDecay{.depth = shape.backbone.depth, .decay = 0.8},
        .clipping = optim::Clipping::module};
    step = std::make_unique<DinoV2Step<float>>(space, world, strategy, shape, rules, objective(c),
                                               std::move(frozen));
    step->initialize(3);
  }

  StepResult run(int s, std::int64_t micro) {
    StepSettings const settings{.lr = c.lr,
                                .weight_decay = 0.1,
                                .momentum = c.momentum,
                                .teacher_temperature = 0.07,
                                .clip_grad = 0.3,
                                .gram_weight = 0.5,
                                .iteration = s};
    Slice const slice(world, micro);
    std::int64_t m = 0, t = 0;
    auto const batch = [&](Share images) { return make_batch(c, s, images.begin, images.size()); };
    StepBatchSource source{.micro_batches = slice.parts,
                           .next = [&] { return batch(slice.part(m++)); }};
    if (passes) {
      source.teacher_micro_batches = passes->micro_batches;
      source.next_of_teacher = [&] {
        return batch(Slice(passes->ranks, passes->images).part(t++));
      };
    }
    step->begin(global_batch);
    step->accumulate(arena, source, settings);
    auto result = step->finish(settings, s);
    EXPECT_FALSE(result.fault) << *result.fault;
    return result;
  }
};

std::vector<double> losses(Communicator const& world, shard::Strategy const& strategy,
                           std::int64_t micro, Case const& c,
                           std::optional<SharedPasses> shared = {}) {
  Trainer trainer(world, strategy, c, std::move(shared));
  std::vector<double> out;
  for (int s = 0; s < c.steps; ++s) out.push_back(trainer.run(s, micro).loss);
  return out;
}

double worst_relative(std::vector<double> const& a, std::vector<double> const& b) {
  double worst = 0;
  for (std::size_t i = 0; i < b.size(); ++i)
    worst = std::max(worst, std::abs(a[i] - b[i]) / std::abs(b[i]));
  return worst;
}

TEST(Distill, LossesDoNotDependOnRanksAccumulationOrStrategy) {
  auto const world = Communicator::world();
  for (auto const& c :
       {Case{.name = "sinkhorn"}, Case{.name = "centering", .centering = Centering::centering},
        Case{.name = "gram", .gram = true}}) {
    auto const reference = losses(Communicator::self(), {}, global_batch, c);
    for (std::string const name : {"full", "hybrid"}) {
      for (std::int64_t const micro : {global_batch, std::int64_t{1}}) {
        auto const group = world.size() % 2 == 0 ? world.size() / 2 : world.size();
        auto const got =
            losses(world, shard::Strategy::named(name, world.size(), group, 1), micro, c);

        auto const worst = worst_relative(got, reference);
        if (world.rank() == 0) {
          std::printf("%-9s %-9s on %d ranks, micro-batches of at most %d: %.2e\n", c.name,
                      name.c_str(), world.size(), static_cast<int>(micro), worst);
        }
        EXPECT_LT(worst, 1e-4) << c.name << ", " << name << ", micro-batch " << micro;
      }
    }
  }
}

// With momentum 1 the EMA stays what the student was at first. A frozen teacher of those weights is
// the same teacher, and a student whose masks hide nothing is not masked: the same bits, though
// these are the steps that golden numbers are compared with.
TEST(Distill, IsTheUsualStepWhereTheFrozenTeacherIsTheEma) {
  auto const world = Communicator::world();
  shard::Strategy const strategy{.group_size = world.size()};
  for (auto const centering : {Centering::sinkhorn_knopp, Centering::centering}) {
    for (std::int64_t const micro : {global_batch, std::int64_t{1}}) {
      Case frozen{.name = "frozen",
                  .centering = centering,
                  .frozen = model_of(student_sizes),
                  .momentum = 1,
                  .steps = 5};
      Case ema = frozen;
      ema.frozen.reset();
      ema.masked = false;
      auto const got = losses(world, strategy, micro, frozen);

      EXPECT_EQ(got, losses(world, strategy, micro, ema));
      ema.masked = true;
      EXPECT_NE(got.front(), losses(world, strategy, micro, ema).front());
      ema.masked = false;
      ema.momentum = 0.5;
      auto const moving = losses(world, strategy, micro, ema);
      EXPECT_EQ(got.front(), moving.front());
      EXPECT_NE(got.back(), moving.back());
    }
  }
}

TEST(Distill, TeacherStaysAndEmaFollowsTheStudent) {
  auto const world = Communicator::world();
  Trainer trainer(world, {.group_size = world.size()}, {.name = "stays"});
  auto& step = *trainer.step;
  auto const stores = step.frozen_teacher()->stores();
  auto const passes = masters(*stores[0]), prototypes = masters(*stores[1]);
  auto const first = masters(step.teacher().store);
  trainer.run(0, global_batch);
  auto const student = masters(step.student().store), ema = masters(step.teacher().store);
  std::vector<double> expected(first.size());
  for (std::size_t i = 0; i < first.size(); ++i)
    expected[i] = 0.9 * static_cast<double>(first[i]) + 0.1 * static_cast<double>(student[i]);
  for (int s = 1; s < 5; ++s) trainer.run(s, global_batch);

  EXPECT_NE(student, first);
  EXPECT_LE(test::deviation(ema, expected), test::tolerance<float>(1));
  EXPECT_EQ(masters(*stores[0]), passes);
  EXPECT_EQ(masters(*stores[1]), prototypes);
}

// First values of prototypes are so small that all targets are alike: these are larger.
TEST(Distill, StudentComesCloserToTheTeacher) {
  Trainer trainer(Communicator::world(), {.group_size = Communicator::world().size()},
                  {.name = "learns", .lr = 1e-2});
  auto& prototypes = *trainer.step->frozen_teacher()->stores()[1];
  for (int unit = 0; unit < prototypes.units(); ++unit)
    for (auto& value : prototypes.master(unit).span()) value *= 50;
  prototypes.invalidate();
  auto const mean = [&](int begin, int end) {
    double sum = 0;
    for (int s = begin; s < end; ++s)
      sum += trainer.run(s % 4, global_batch).terms.at("ibot_loss") / (end - begin);
    return sum;
  };
  auto const before = mean(0, 4);
  mean(4, 56);
  auto const after = mean(56, 60);

  EXPECT_LT(after, 0.8 * before) << before << " to " << after;
}

// Students of several sizes on consecutive ranks: each learns as it does alone, whatever the others
// do, from rows that other ranks computed, in micro-batches that are not its own.
TEST(Distill, StudentsThatShareATeacherLearnAsAlone) {
  auto const all = Communicator::world();
  for (int const first : {1, 2}) {
    if (first > std::max(1, all.size() - 1)) continue;
    bool const in_first = all.rank() < first;
    auto const group = all.split(in_first ? 0 : 1);
    Case c{.name = "shared", .lr = in_first ? 2e-3 : 5e-3};
    c.student = in_first ? student_sizes : Sizes{12, 1, 3, 8};
    struct Way {
      Centering centering;
      std::int64_t micro, teacher_micro;
    };
    for (auto const& way :
         {Way{Centering::sinkhorn_knopp, global_batch, global_batch},
          Way{Centering::sinkhorn_knopp, 1, global_batch}, Way{Centering::centering, 2, 1}}) {
      c.centering = way.centering;
      auto const alone = losses(Communicator::self(), {}, global_batch, c);
      SharedPasses const passes{.ranks = all,
                                .images = way.teacher_micro,
                                .micro_batches = Slice(all, way.teacher_micro).parts};

      auto const got = losses(group, {.group_size = group.size()}, way.micro, c, passes);

      EXPECT_LT(worst_relative(got, alone), 1e-6)
          << first << " ranks and the others, micro-batches of " << way.micro << ", of the teacher "
          << way.teacher_micro;
    }
  }
}

}  // namespace
}  // namespace dino::train
