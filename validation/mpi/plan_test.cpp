// SPDX-License-Identifier: Apache-2.0
// What `dino plan` says of a rank is what a run takes.
#include "train/plan.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "train/drop_path.hpp"
#include "train/frozen_teacher.hpp"
#include "train/make_step.hpp"
#include "train/slice.hpp"

namespace dino::train {
namespace {

Config small(std::string const& method, std::string const& strategy) {
  Config config;
  config.method = method;
  config.data.batch_size = 12;
  config.crops.global_size = 32;
  config.crops.local_size = 16;
  config.crops.local_count = 3;
  config.student.patch_size = 8;
  config.student.embed_dim = 48;
  config.student.depth = 3;
  config.student.num_heads = 3;
  config.student.registers = method == "dinov2" ? 2 : 0;
  config.student.drop_path_rate = 0.1;
  config.student.drop_path_uniform = method == "dinov2";
  config.dino.out_dim = 300;
  config.dino.hidden_dim = 64;
  config.dino.bottleneck_dim = 32;
  config.ibot.separate_head = true;
  config.ibot.out_dim = 200;
  config.ibot.hidden_dim = 64;
  config.ibot.bottleneck_dim = 32;
  config.shard.strategy = strategy;
  config.run.micro_batch = 2;
  return config;
}

void expect_equal(shard::StoreBytes const& planned, shard::StoreBytes const& real) {
  EXPECT_EQ(planned.parameters, real.parameters);
  EXPECT_EQ(planned.gradients, real.gradients);
  EXPECT_EQ(planned.optimizer, real.optimizer);
  EXPECT_EQ(planned.working, real.working);
}

/// Crops of zeros with drop path and masks, as the loader would give them.
StepBatch batch_of(Config const& config, std::int64_t images, std::int64_t first) {
  auto const owned = std::make_shared<HostBatch>();
  auto& crops = owned->crops;
  crops.images = images;
  crops.first_position = first;
  auto const group = [&](std::int64_t size, std::int64_t count) {
    return CropGroup{
        size, count,
        std::vector<float>(static_cast<std::size_t>(count * images * 3 * size * size), 0.5F)};
  };
  crops.global = group(config.crops.global_size, 2);
  crops.local = group(config.crops.local_size, config.crops.local_count);
  auto const depth = *config.student.depth;
  if (config.student.drop_path_rate > 0)
    owned->drop_path = SubsetDropPath{.rate = config.student.drop_path_rate,
                                      .depth = depth,
                                      .local_crops = config.crops.local_count,
                                      .global_batch = config.data.batch_size}
                           .factors(0, first, images);
  if (auto const masks = make_masks(config)) owned->masks = masks->masks(0, first, images);
  return {crop_views(*owned, depth, config.data.batch_size), owned};
}

/// Micro-batches of a slice, one after the other.
std::function<StepBatch()> batches_of(Config const& config, BatchSlice const& slice) {
  return [&config, slice, m = std::int64_t{0}]() mutable {
    auto const part = share_of(slice.end - slice.begin, m++, slice.micro_batches);
    return batch_of(config, part.size(), slice.begin + part.begin);
  };
}

/// One step of a run, in an arena of so many bytes, which must be enough.
struct Run {
  std::unique_ptr<TrainingStep<float>> step;
  std::int64_t arena_bytes = 0;  ///< in use at most, on any rank
};

/// \param all  the ranks of all students of a frozen teacher, where there are several
Run run_step(Communicator const& world, Config const& config, std::int64_t bytes,
             std::optional<Communicator> const& all = {}) {
  Space const space = Host{};
  auto const teacher = find_teacher(world, config, all);
  Run out{make_step<float>(space, world, make_strategy(config, world.size()), config, teacher)};
  out.step->initialize(1);
  if (auto* const frozen = out.step->frozen_teacher()) frozen->initialize(1);
  Arena arena(space, bytes);
  auto const slice = rank_slice(world, config.data.batch_size, config.run.micro_batch);
  out.step->begin(config.data.batch_size);
  StepBatchSource source{.micro_batches = slice.micro_batches, .next = batches_of(config, slice)};
  if (all) {
    auto const share = rank_slice(*all, config.data.batch_size, config.distill.micro_batch);
    source.teacher_micro_batches = share.micro_batches;
    source.next_of_teacher = batches_of(config, share);
  }
  out.step->accumulate(arena, source, {});
  out.step->finish({}, 0);
  out.arena_bytes = world.max(arena.high_water());
  return out;
}

TEST(Plan, BytesAreThoseOfARunOnAnyRanks) {
  auto const world = Communicator::world();
  for (std::string const method : {"dinov1", "dinov2"}) {
    for (std::string const strategy : {"full", "grad_op", "replicate"}) {
      SCOPED_TRACE(method + ", " + strategy);
      auto const config = small(method, strategy);

      auto const plan = make_plan(config, world.size());
      auto const run = run_step(world, config, plan.activation_bytes);

      expect_equal(plan.student, run.step->student().store.bytes());
      expect_equal(plan.teacher, run.step->teacher().store.bytes());
      // The plan allows for the most masked patches, a run draws fewer.
      auto const used = static_cast<double>(run.arena_bytes);
      EXPECT_LE(used, static_cast<double>(plan.activation_bytes));
      EXPECT_GE(used, 0.85 * static_cast<double>(plan.activation_bytes));
      if (world.rank() == 0) {
        std::printf("%s %-9s on %d ranks: arena %.0f of %lld planned bytes\n", method.c_str(),
                    strategy.c_str(), world.size(), used,
                    static_cast<long long>(plan.activation_bytes));
      }
    }
  }
}

/// A larger model, whose configuration stands in for its checkpoint.
void distill(Communicator const& world, Config& config) {
  auto teacher = config;
  teacher.student.embed_dim = 96;
  teacher.student.depth = 4;
  teacher.dino.hidden_dim = teacher.ibot.hidden_dim = 128;
  teacher.ibot.bottleneck_dim = 48;
  config.student.drop_path_rate = 0;
  config.distill.teacher = "teacher.toml";
  on_rank_zero(world, [&] { std::ofstream(config.distill.teacher) << to_toml(teacher); });
}

TEST(Plan, CountsAFrozenTeacher) {
  auto const world = Communicator::world();
  for (std::string const strategy : {"full", "replicate"}) {
    SCOPED_TRACE(strategy);
    auto config = small("dinov3", strategy);
    auto const alone = make_plan(config, world.size());
    distill(world, config);

    auto const plan = make_plan(config, world.size());
    auto const run = run_step(world, config, plan.activation_bytes);

    auto const stores = run.step->frozen_teacher()->stores();
    auto const passes = stores[0]->bytes(), prototypes = stores[1]->bytes();
    expect_equal(plan.frozen_teacher, {.parameters = passes.parameters + prototypes.parameters,
                                       .working = passes.working + prototypes.working});
    EXPECT_GT(plan.frozen_teacher.parameters, plan.teacher.parameters);
    EXPECT_GT(plan.matrix_flops, alone.matrix_flops);
    EXPECT_LE(run.arena_bytes, plan.activation_bytes);
    EXPECT_GE(static_cast<double>(run.arena_bytes),
              0.85 * static_cast<double>(plan.activation_bytes));
  }
}

TEST(Plan, CountsTheShareOfATeacherOfSeveralStudents) {
  auto const all = Communicator::world();
  auto const group = all.split(all.rank() == 0 ? 0 : 1);
  auto config = small("dinov3", "full");
  distill(all, config);
  config.distill.micro_batch = 3;

  auto const plan = make_plan(config, group.size(), all.size());
  auto const run = run_step(group, config, plan.activation_bytes, all);

  auto const stores = run.step->frozen_teacher()->stores();
  EXPECT_EQ(plan.frozen_teacher.parameters,
            stores[0]->bytes().parameters + stores[1]->bytes().parameters);
  EXPECT_EQ(plan.frozen_teacher.working, stores[0]->bytes().working + stores[1]->bytes().working);
  EXPECT_LE(run.arena_bytes, plan.activation_bytes);
  EXPECT_GE(static_cast<double>(run.arena_bytes), 0.8 * static_cast<double>(plan.activation_bytes));
  if (all.size() == 1) return;
  // Passes are cut by the number of all ranks, not by that of this student's.
  EXPECT_LT(plan.matrix_flops, make_plan(config, group.size()).matrix_flops);
}

TEST(Plan, LogitsOverManyPrototypesStayBelowTheirLimit) {
  auto const world = Communicator::world();
  constexpr std::int64_t limit_mib = 4, limit = limit_mib << 20;
  for (std::string const centering : {"v1", "centering", "sinkhorn_knopp"}) {
    SCOPED_TRACE(centering);
    auto config = small(centering == "v1" ? "dinov1" : "dinov2", "full");
    config.data.batch_size = 2 * world.size();
    config.run.micro_batch.reset();
    config.dino.bottleneck_dim = config.ibot.bottleneck_dim = 8;
    config.dino.out_dim = config.ibot.out_dim = 131072;
    if (centering != "v1") config.dino.centering = config.ibot.centering = centering;
    config.run.logits_mib = limit_mib;

    auto const plan = make_plan(config, world.size());
    auto const run = run_step(world, config, plan.activation_bytes);

    EXPECT_EQ(plan.logits_bytes, limit);
    EXPECT_EQ(run.step->logits_bytes(), plan.logits_bytes);
    EXPECT_LE(run.arena_bytes, plan.activation_bytes);
    config.run.logits_mib = 4096;
    auto const whole = make_plan(config, world.size());
    EXPECT_GT(whole.logits_bytes, limit);
    // Only Sinkhorn-Knopp looks at the teacher's logits more than once.
    if (centering == "sinkhorn_knopp") {
      EXPECT_GT(plan.matrix_flops, whole.matrix_flops);
    } else {
      EXPECT_EQ(plan.matrix_flops, whole.matrix_flops);
    }
  }
}

// A run draws fewer masked patches than the plan allows for, and then has other tiles.
TEST(Plan, IsEnoughForStepsWithFewerRowsWhateverTheirTiles) {
  auto config = small("dinov2", "full");
  config.dino.centering = config.ibot.centering = "sinkhorn_knopp";
  config.koleo.loss_weight = 0;
  config.run.logits_mib = 1;
  for (std::int64_t const prototypes : {31, 300, 3000}) {
    for (std::int64_t const images : {1, 20, 200}) {
      config.dino.out_dim = config.ibot.out_dim = prototypes;
      config.data.batch_size = 2 * images;
      std::int64_t before = 0;
      for (int percent = 5; percent < 100; percent += 5) {
        config.ibot.mask_ratio = {0.0, percent / 100.0};
        auto const bytes = step_cost<float>(config, images, 2).arena_bytes;
        EXPECT_GE(bytes, before) << prototypes << " prototypes, " << images << " images, masks of "
                                 << percent << " %";
        before = bytes;
      }
    }
  }
}

// Source: method.md 1.1.
TEST(Plan, BackbonesHaveThePublishedParameters) {
  auto const backbone = [](std::string const& method, std::string const& arch, std::int64_t patch,
                           std::int64_t size, bool swiglu) {
    Config config;
    config.method = method;
    config.student.arch = arch;
    config.student.patch_size = patch;
    config.crops.global_size = size;
    if (method == "dinov2") {
      config.student.layer_scale = 1e-5;
      config.crops.local_size = 98;  // whole patches
    }
    if (swiglu) config.student.ffn = "swiglu";
    return make_plan(config, 1).parameters.at("backbone");
  };
  EXPECT_EQ(backbone("dinov1", "vit_tiny", 16, 224, false), 5524416);
  EXPECT_EQ(backbone("dinov1", "vit_small", 16, 224, false), 21665664);
  EXPECT_EQ(backbone("dinov1", "vit_small", 8, 224, false), 21670272);
  EXPECT_EQ(backbone("dinov1", "vit_base", 16, 224, false), 85798656);
  EXPECT_EQ(backbone("dinov1", "vit_base", 8, 224, false), 85807872);
  EXPECT_EQ(backbone("dinov2", "vit_small", 14, 518, false), 22056576);
  EXPECT_EQ(backbone("dinov2", "vit_base", 14, 518, false), 86580480);
  EXPECT_EQ(backbone("dinov2", "vit_large", 14, 518, false), 304368640);
  EXPECT_EQ(backbone("dinov2", "vit_large", 14, 224, true), 303655168);
  EXPECT_EQ(backbone("dinov2", "vit_giant2", 14, 518, true), 1136480768);
}

// Source: method.md 1.1.
TEST(Plan, BackbonesOfDinoV3HaveThePublishedParameters) {
  auto const backbone = [](std::vector<std::string> overrides) {
    overrides.insert(overrides.begin(),
                     {"method=dinov3", "student.registers=4", "student.mask_k_bias=true",
                      "student.layer_scale=1e-5", "student.norm_layer=layernormbf16"});
    auto const config = parse_config("", "test", overrides);
    config.validate();
    return count_parameters(model_shape(config)).at("backbone");
  };
  std::string const swiglu = "student.ffn=swiglu", six = "student.mlp_ratio=6",
                    untied = "student.untie_global_and_local_cls_norm=true";
  EXPECT_EQ(backbone({"student.arch=vit_small"}), 21601152);
  EXPECT_EQ(backbone({"student.arch=vit_small", swiglu, six}), 28697472);
  EXPECT_EQ(backbone({"student.arch=vit_base"}), 85669632);
  EXPECT_EQ(backbone({"student.arch=vit_large"}), 303154176);
  EXPECT_EQ(backbone({"student.arch=vit_large", untied}), 303154176 + 2048);
  EXPECT_EQ(backbone({"student.arch=vit_large", swiglu, six}), 403915776);
  EXPECT_EQ(backbone({"student.arch=vit_huge2", swiglu, six}), 840633600);
  EXPECT_EQ(
      backbone({"student.arch=vit_7b", "student.ffn=swiglu64", "student.qkv_bias=false", untied}),
      6716043264);
}

TEST(Plan, WidthsOfTheSecondBranchFollowTheArchitecture) {
  auto const width = [](std::string const& arch, std::string const& ffn) {
    Config config;
    config.method = "dinov3";
    config.student.arch = arch;
    config.student.ffn = ffn;
    return model_shape(config).backbone.mlp_hidden;
  };
  EXPECT_EQ(width("vit_so400m", "mlp"), 4352);
  EXPECT_EQ(width("vit_giant2", "mlp"), 6144);
  EXPECT_EQ(width("vit_7b", "swiglu64"), 8192);
  EXPECT_EQ(width("vit_tiny", "swiglu"), 512);
  EXPECT_EQ(width("vit_so400m", "swiglu"), 2904);  // of 2901
  EXPECT_EQ(width("vit_so400m", "swiglu32"), 2912);
  EXPECT_EQ(width("vit_so400m", "swiglu64"), 2944);
  EXPECT_EQ(width("vit_so400m", "swiglu128"), 2944);
}

}  // namespace
}  // namespace dino::train
