// SPDX-License-Identifier: Apache-2.0
// Seconds of a step, by hand.
#include <gtest/gtest.h>

#include "comm/communicator.hpp"
#include "train/plan.hpp"

namespace dino::train {
namespace {

Machine machine() {
  return {.name = "box",
          .ranks_per_node = 4,
          .memory_gib = 1,
          .fp32_tflops = 1,
          .bf16_tflops = 4,
          .matrix_efficiency = 0.5,
          .node_bandwidth = 100,
          .network_bandwidth = 10,
          .bandwidth_efficiency = 0.5,
          .overlap = 0.75};
}

TEST(PlannedTime, OfOneRankIsThatOfItsProducts) {
  Plan plan{.work = {.matrix_flops = 2e12}};

  auto const fp32 = plan_time(plan, machine(), "fp32");
  auto const bf16 = plan_time(plan, machine(), "bf16");

  EXPECT_DOUBLE_EQ(fp32.step(), 4);
  EXPECT_DOUBLE_EQ(bf16.step(), 1);
  EXPECT_DOUBLE_EQ(bf16.step_without_overlap(), 1);
}

TEST(PlannedTime, InsideANodeIsThatOfItsLinks) {
  Plan plan{.ranks = 4, .group_size = 4, .work = {.matrix_flops = 2e12}};
  plan.work.group.gathered = 30e9;
  plan.work.group.scattered = 10e9;
  plan.work.world.summed = 5e9;

  auto const time = plan_time(plan, machine(), "bf16");

  EXPECT_DOUBLE_EQ(time.parameters, 40.0 / 50);
  EXPECT_DOUBLE_EQ(time.losses, 5.0 / 50);
  EXPECT_DOUBLE_EQ(time.hidden, 0.75 * 0.8);
  EXPECT_DOUBLE_EQ(time.step(), 1 + 0.8 + 0.1 - 0.6);
}

// Each rank receives 7 of 8 parts of 80 GB; 40 GB of them enter each of two nodes, over four ports.
TEST(PlannedTime, BetweenNodesIsThatOfAllTheirPorts) {
  Plan plan{.ranks = 8, .group_size = 8};
  plan.work.group.gathered = 70e9;

  auto const time = plan_time(plan, machine(), "fp32");

  EXPECT_DOUBLE_EQ(time.parameters, 40.0 / (4 * 5));
  EXPECT_DOUBLE_EQ(time.hidden, 0);  // there is no computation to hide it
}

// Groups are nodes: gathers stay inside, the sums of the four parts share the ports.
TEST(PlannedTime, OfHybridShardingLeavesGathersInTheNode) {
  Plan plan{.ranks = 8, .group_size = 4};
  plan.work.group.gathered = 30e9;
  plan.work.replicas.summed = 10e9;

  auto const time = plan_time(plan, machine(), "fp32");

  EXPECT_DOUBLE_EQ(time.parameters, 30.0 / 50 + 10.0 / 5);
}

TEST(PlannedSteps, AreOfStepsOrEpochsOrTheDataSet) {
  Config config;
  config.data.batch_size = 64;
  config.run.epochs = 3;

  EXPECT_FALSE(planned_steps(config, {}));
  EXPECT_EQ(planned_steps(config, 1000), 45);
  config.run.epoch_length = 100;
  EXPECT_EQ(planned_steps(config, {}), 300);
  config.run.head_warmup_steps = 7;
  EXPECT_EQ(planned_steps(config, {}), 307);
  config.run.steps = 10;
  EXPECT_EQ(planned_steps(config, 1000), 17);
}

TEST(FittingChange, IsTheLargestMicroBatchOfThoseTried) {
  Config config;
  config.data.batch_size = 64;
  config.student.arch = "vit_tiny";
  config.dino.out_dim = 256;
  auto const whole = static_cast<double>(plan_memory(config, 1).total_bytes());
  config.run.micro_batch = 8;
  auto const eighth = static_cast<double>(plan_memory(config, 1).total_bytes());
  config.run.micro_batch.reset();

  EXPECT_EQ(fitting_change(config, 1, whole - 1), "run.micro_batch=32");
  EXPECT_EQ(fitting_change(config, 1, eighth), "run.micro_batch=8");
  EXPECT_EQ(fitting_change(config, 1, 1000), std::nullopt);
}

TEST(FittingChange, SharesTheParametersWhereSmallerBatchesAreNotEnough) {
  Config config;
  config.data.batch_size = 8;
  config.student.arch = "vit_tiny";
  config.shard.strategy = "replicate";
  config.dino.out_dim = 65536;
  auto shared = config;
  shared.shard.strategy = "full";

  auto const bytes = static_cast<double>(plan_memory(shared, 8).total_bytes());

  ASSERT_GT(static_cast<double>(plan_memory(config, 8).total_bytes()), bytes);
  EXPECT_EQ(fitting_change(config, 8, bytes), "shard.strategy=full");
}

}  // namespace
}  // namespace dino::train
