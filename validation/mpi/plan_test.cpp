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
  bool const v3 = method == "dinov3";
  config.data.batch_size = 12;
  config.crops.global_size = 32;
  config.crops.local_size = 16;
  config.crops.local_count = 3;
  config.student.patch_size = 8;
  config.student.embed_dim = 48;
  config.student.depth = 3;
  config.student.num_heads = 3;
  config.student.registers = method == "dinov1" ? 0 : 2;
  config.student.drop_path_rate = 0.1;
  config.student.drop_path_uniform = method != "dinov1";
  config.dino.out_dim = 300;
  config.dino.hidden_dim = 64;
  config.dino.bottleneck_dim = 32;
  config.ibot.separate_head = true;
  config.ibot.out_dim = 200;
  config.ibot.hidden_dim = 64;
  config.ibot.bottleneck_dim = 32;
  if (v3) {
    config.student.ffn = "swiglu";
    config.student.rope_rescale = 2;
    config.dino.centering = config.ibot.centering = "sinkhorn_knopp";
    config.gram.use_loss = true;
    config.gram.it_load_ema_teacher = 0;
    config.crops.gram_teacher_crops_size = 48;
  }
  config.shard.strategy = strategy;
  // Two groups of two on four ranks; on others, one group or one for each rank.
  config.shard.group_size = Communicator::world().size() % 2 == 0 ? 2 : 1;
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
StepBatch batch_of(Config const& config, config::CropSizes const& sizes, std::int64_t images,
                   std::int64_t first) {
  auto const owned = std::make_shared<HostBatch>();
  auto& crops = owned->crops;
  crops.images = images;
  crops.first_position = first;
  auto const group = [&](std::int64_t size, std::int64_t count) {
    return CropGroup{
        size, count,
        UploadVector<float>(static_cast<std::size_t>(count * images * 3 * size * size), 0.5F)};
  };
  crops.global = group(sizes.global, 2);
  crops.local = group(sizes.local, config.crops.local_count);
  if (sizes.gram) crops.gram = group(*sizes.gram, 2);
  auto const depth = *config.student.depth;
  if (config.student.drop_path_rate > 0) {
    owned->drop_path = SubsetDropPath{.rate = config.student.drop_path_rate,
                                      .depth = depth,
                                      .local_crops = config.crops.local_count,
                                      .global_batch = config.data.batch_size}
                           .factors(0, first, images);
  }
  if (auto const rope = rope_augmentation(config); rope.any())
    owned->rope = rope.draws(0, 0, depth);
  if (auto const masks = make_masks(config, sizes.global))
    owned->masks = masks->masks(0, first, images);
  return {crop_views(*owned, depth, config.data.batch_size), owned};
}

/// Micro-batches of a slice, one after the other.
std::function<StepBatch()> batches_of(Config const& config, config::CropSizes const& sizes,
                                      BatchSlice const& slice) {
  return [&config, sizes, slice, m = std::int64_t{0}]() mutable {
    auto const part = share_of(slice.end - slice.begin, m++, slice.micro_batches);
    return batch_of(config, sizes, part.size(), slice.begin + part.begin);
  };
}

/// One step of a run, in an arena of so many bytes, which must be enough.
struct Run {
  std::unique_ptr<TrainingStep<float>> step;
  std::int64_t arena_bytes = 0;  ///< in use at most, on any rank
  Traffic world;                 ///< among all ranks, in the step
};

Traffic operator-(Traffic a, Traffic const& b) {
  a.gathered -= b.gathered;
  a.scattered -= b.scattered;
  a.summed -= b.summed;
  a.broadcast -= b.broadcast;
  return a;
}

/// \param all  the ranks of all students of a frozen teacher, where there are several
Run run_step(Communicator const& world, Config const& config, std::int64_t bytes,
             config::CropSizes const& sizes, std::optional<Communicator> const& all = {}) {
  Space const space = Host{};
  auto const teacher = find_teacher(world, config, all);
  Run out{make_step<float>(space, world, make_strategy(config, world.size()), config, teacher)};
  out.step->initialize(1);
  if (auto* const frozen = out.step->frozen_teacher()) frozen->initialize(1);
  Arena arena(space, bytes);
  auto const slice = rank_slice(world, config.data.batch_size, config.run.micro_batch);
  auto const before = world.traffic();
  out.step->begin(config.data.batch_size);
  StepBatchSource source{.micro_batches = slice.micro_batches,
                         .next = batches_of(config, sizes, slice)};
  if (all) {
    auto const share = rank_slice(*all, config.data.batch_size, config.distill.micro_batch);
    source.teacher_micro_batches = share.micro_batches;
    source.next_of_teacher = batches_of(config, sizes, share);
  }
  out.step->accumulate(arena, source, {});
  out.step->finish({}, 0);
  out.world = world.traffic() - before;
  out.arena_bytes = world.max(arena.high_water());
  return out;
}

Run run_step(Communicator const& world, Config const& config, std::int64_t bytes,
             std::optional<Communicator> const& all = {}) {
  return run_step(world, config, bytes, config::crop_sizes(config.crops).front(), all);
}

TEST(Plan, BytesAreThoseOfARunOnAnyRanks) {
  auto const world = Communicator::world();
  for (std::string const method : {"dinov1", "dinov2", "dinov3"}) {
    for (std::string const strategy : {"full", "grad_op", "hybrid", "replicate"}) {
      SCOPED_TRACE(method + ", " + strategy);
      auto const config = small(method, strategy);

      auto const plan = plan_memory(config, world.size());
      auto const run = run_step(world, config, plan.activation_bytes);

      expect_equal(plan.student, run.step->student().store.bytes());
      expect_equal(plan.teacher, run.step->teacher().store.bytes());
      if (method == "dinov3") expect_equal(plan.gram_teacher, run.step->gram_teacher()->bytes());
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

// Without drop path, and with the most masked patches.
TEST(Plan, ActivationsAreThoseOfAStepThatDropsNothing) {
  auto const world = Communicator::world();
  for (std::string const method : {"dinov1", "dinov3"}) {
    SCOPED_TRACE(method);
    auto config = small(method, "full");
    config.data.batch_size = 24;  // all micro-batches are full
    config.student.drop_path_rate = 0;
    config.ibot.mask_sample_probability = 1;
    config.ibot.mask_ratio = {0.5, 0.5};

    auto const planned = plan_memory(config, world.size()).activation_bytes;
    auto const run = run_step(world, config, planned);

    EXPECT_LE(run.arena_bytes, planned);
    EXPECT_GE(static_cast<double>(run.arena_bytes), 0.95 * static_cast<double>(planned));
  }
}

void expect_equal(Traffic const& planned, Traffic const& real) {
  EXPECT_EQ(planned.gathered, real.gathered);
  EXPECT_EQ(planned.scattered, real.scattered);
  EXPECT_EQ(planned.summed, real.summed);
  EXPECT_EQ(planned.broadcast, real.broadcast);
}

TEST(Plan, TrafficIsThatOfARunOnAnyRanks) {
  auto const world = Communicator::world();
  for (std::string const method : {"dinov1", "dinov2", "dinov3"}) {
    for (std::string const strategy : {"full", "grad_op", "hybrid", "replicate"}) {
      SCOPED_TRACE(method + ", " + strategy);
      auto config = small(method, strategy);
      config.gram.img_level = strategy != "full";  // with pairs of the batch too

      auto const plan = make_plan(config, world.size());
      auto const run = run_step(world, config, plan.memory.activation_bytes);

      auto const& store = run.step->student().store;
      expect_equal(plan.work.group, store.group().traffic());
      expect_equal(plan.work.replicas, store.replicas().traffic());
      expect_equal(plan.work.world, run.world);
      if (world.size() == 1) continue;
      EXPECT_GT(plan.work.world.summed, 0);
      EXPECT_EQ(plan.work.world.gathered > 0, method != "dinov1");                         // KoLeo
      EXPECT_EQ(plan.work.world.broadcast > 0, method == "dinov3" && strategy == "full");  // Gram
    }
  }
}

// The pairs of a rank's patches with those of all others, in forward and backward.
TEST(Plan, ProductsOfGramOfTheBatchGrowWithTheRanks) {
  auto config = small("dinov3", "full");
  config.gram.img_level = false;
  config.student.drop_path_rate = config.koleo.loss_weight = 0;  // what else depends on the batch
  config.ibot.mask_sample_probability = 1;
  config.ibot.mask_ratio = {0.5, 0.5};
  auto const flops = [&](int ranks) {
    config.data.batch_size = 2 * ranks;
    return make_plan(config, ranks).work.matrix_flops;
  };
  auto const one = flops(1), two = flops(2), five = flops(5);

  EXPECT_GT(two, one);
  EXPECT_EQ(five - one, 4 * (two - one));
}

// Half of the branches is left out, in the student alone.
TEST(Plan, OperationsAreThoseOfTheBranchesThatStay) {
  auto config = small("dinov2", "full");
  config.data.batch_size = 64;
  config.run.micro_batch.reset();
  config.student.drop_path_rate = 0;
  auto const all = make_plan(config, 1).work.matrix_flops;
  config.student.drop_path_rate = 0.5;
  auto const half = make_plan(config, 1).work.matrix_flops;

  EXPECT_LT(half, 0.8 * all);
  EXPECT_GT(half, 0.4 * all);
}

/// DINOv3 with Gram crops in three sizes, of which the second takes most memory.
Config with_pairs() {
  auto config = small("dinov3", "full");
  config.crops.gram_teacher_crops_size.reset();
  config.crops.pairs = {.global_size = {32, 48, 32},
                        .local_size = {16, 24, 40},
                        .gram_teacher_crops_size = {48, 64, 32},
                        .ratio = {0.5, 0.2, 0.3}};
  config.validate();
  return config;
}

TEST(Plan, BytesAreEnoughForCropsOfAllSizesAndThoseOfTheLargest) {
  auto const world = Communicator::world();
  auto const config = with_pairs();
  auto const plan = make_plan(config, world.size());
  auto const all = config::crop_sizes(config.crops);
  ASSERT_EQ(plan.of_sizes.size(), all.size());
  double flops = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    auto const& of_sizes = plan.of_sizes[i];
    auto const run = run_step(world, config, plan.memory.activation_bytes, all[i]);

    EXPECT_EQ(of_sizes.sizes, all[i]);
    auto const used = static_cast<double>(run.arena_bytes);
    EXPECT_LE(used, static_cast<double>(of_sizes.activation_bytes));
    EXPECT_GE(used, 0.85 * static_cast<double>(of_sizes.activation_bytes));
    EXPECT_EQ(of_sizes.activation_bytes == plan.memory.activation_bytes, i == 1);
    EXPECT_LE(of_sizes.activation_bytes, plan.memory.activation_bytes);
    expect_equal(plan.memory.gram_teacher, run.step->gram_teacher()->bytes());
    flops += all[i].share * of_sizes.matrix_flops;
    if (world.rank() == 0) {
      std::printf("%d + %d on %d ranks: arena %.0f of %lld planned bytes\n",
                  static_cast<int>(all[i].global), static_cast<int>(all[i].local), world.size(),
                  used, static_cast<long long>(of_sizes.activation_bytes));
    }
  }
  EXPECT_DOUBLE_EQ(plan.work.matrix_flops, flops);
}

// Masks are drawn on the grid of the step's crops.
TEST(Plan, StepsOfASizeCostWhatARunOfThatSizeAloneDoes) {
  auto const config = with_pairs();
  for (auto const& sizes : config::crop_sizes(config.crops)) {
    auto alone = config;
    alone.crops.pairs = {};
    alone.crops.global_size = sizes.global;
    alone.crops.local_size = sizes.local;
    alone.crops.gram_teacher_crops_size = sizes.gram;

    auto const cost = step_cost<float>(config, sizes, 2, 2),
               cost_alone = step_cost<float>(alone, 2, 2);

    EXPECT_EQ(cost.arena_bytes, cost_alone.arena_bytes);
    EXPECT_EQ(cost.matrix_flops, cost_alone.matrix_flops);
    EXPECT_EQ(make_masks(config).at(sizes.global).most_masked(6),
              make_masks(alone, sizes.global)->most_masked(6));
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
    auto const run = run_step(world, config, plan.memory.activation_bytes);

    auto const stores = run.step->frozen_teacher()->stores();
    auto const passes = stores[0]->bytes(), prototypes = stores[1]->bytes();
    expect_equal(plan.memory.frozen_teacher,
                 {.parameters = passes.parameters + prototypes.parameters,
                  .working = passes.working + prototypes.working});
    EXPECT_GT(plan.memory.frozen_teacher.parameters, plan.memory.teacher.parameters);
    EXPECT_GT(plan.work.matrix_flops, alone.work.matrix_flops);
    EXPECT_LE(run.arena_bytes, plan.memory.activation_bytes);
    EXPECT_GE(static_cast<double>(run.arena_bytes),
              0.85 * static_cast<double>(plan.memory.activation_bytes));
  }
}

TEST(Plan, CountsTheShareOfATeacherOfSeveralStudents) {
  auto const all = Communicator::world();
  auto const group = all.split(all.rank() == 0 ? 0 : 1);
  auto config = small("dinov3", "full");
  distill(all, config);
  config.distill.micro_batch = 3;

  auto const plan = make_plan(config, group.size(), all.size());
  auto const run = run_step(group, config, plan.memory.activation_bytes, all);

  auto const stores = run.step->frozen_teacher()->stores();
  EXPECT_EQ(plan.memory.frozen_teacher.parameters,
            stores[0]->bytes().parameters + stores[1]->bytes().parameters);
  EXPECT_EQ(plan.memory.frozen_teacher.working,
            stores[0]->bytes().working + stores[1]->bytes().working);
  EXPECT_LE(run.arena_bytes, plan.memory.activation_bytes);
  EXPECT_GE(static_cast<double>(run.arena_bytes),
            0.8 * static_cast<double>(plan.memory.activation_bytes));
  if (all.size() == 1) return;
  // Passes are cut by the number of all ranks, not by that of this student's.
  EXPECT_LT(plan.work.matrix_flops, make_plan(config, group.size()).work.matrix_flops);
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
    auto const run = run_step(world, config, plan.memory.activation_bytes);

    EXPECT_EQ(plan.memory.logits_bytes, limit);
    EXPECT_EQ(run.step->logits_bytes(), plan.memory.logits_bytes);
    EXPECT_LE(run.arena_bytes, plan.memory.activation_bytes);
    config.run.logits_mib = 4096;
    auto const whole = make_plan(config, world.size());
    EXPECT_GT(whole.memory.logits_bytes, limit);
    // Only Sinkhorn-Knopp looks at the teacher's logits more than once.
    if (centering == "sinkhorn_knopp") {
      EXPECT_GT(plan.work.matrix_flops, whole.work.matrix_flops);
    } else {
      EXPECT_EQ(plan.work.matrix_flops, whole.work.matrix_flops);
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

}  // namespace
}  // namespace dino::train
