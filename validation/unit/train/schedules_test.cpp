// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include "train/run.hpp"

namespace dino::train {
namespace {

constexpr std::int64_t epoch = 1000, steps = 1200 * epoch;

StepSettings at(Config const& config, std::int64_t step) {
  return settings_at(config, step, epoch, steps);
}

Config configured(std::vector<std::string> const& overrides) {
  auto const config = parse_config("method = \"dinov3\"", "x", overrides);
  config.validate();
  return config;
}

// Source: method.md 13, the schedules of DINOv3's 7B runs.
TEST(SettingsV3, AreThoseOfThePublishedRuns) {
  auto const config =
      configured({"data.batch_size=4096", "optim.lr_scaling=four_sqrt_1024",
                  "optim.freeze_last_layer_epochs=5", "schedules.lr.peak=5e-5",
                  "schedules.lr.warmup_epochs=100", "schedules.weight_decay.peak=0.04",
                  "schedules.momentum.peak=0.994", "schedules.teacher_temp.start=0.04",
                  "schedules.teacher_temp.peak=0.07", "schedules.teacher_temp.warmup_epochs=100",
                  "gram.use_loss=true", "gram.ckpt=teacher.h5", "gram.loss_weight_schedule.peak=0",
                  "gram.loss_weight_schedule.end=2", "gram.loss_weight_schedule.warmup_epochs=1000",
                  "gram.loss_weight_schedule.cosine_epochs=1"});

  EXPECT_NEAR(at(config, 1).lr, 4e-9, 1e-18);
  EXPECT_NEAR(at(config, 99'999).lr, 3.99996e-4, 1e-13);
  EXPECT_DOUBLE_EQ(at(config, 100'000).lr, 4e-4);
  EXPECT_DOUBLE_EQ(at(config, steps - 1).lr, 4e-4);
  EXPECT_EQ(at(config, 4'999).last_layer_lr, 0.0);
  EXPECT_EQ(at(config, 5'000).last_layer_lr, at(config, 5'000).lr);
  EXPECT_EQ(at(config, 700'000).weight_decay, 0.04);
  EXPECT_EQ(at(config, 700'000).momentum, 0.994);
  EXPECT_DOUBLE_EQ(at(config, 50'000).teacher_temperature, 0.055);
  EXPECT_EQ(at(config, 1'000'000).gram_weight, 0);
  EXPECT_NEAR(at(config, 1'000'001).gram_weight, 4.945e-6, 1e-9);
  EXPECT_NEAR(at(config, 1'000'500).gram_weight, 1.001572368, 1e-9);
  EXPECT_DOUBLE_EQ(at(config, 1'000'999).gram_weight, 2);
  EXPECT_EQ(at(config, steps - 1).gram_weight, 2);
  EXPECT_EQ(at(config, 3).iteration, 3);
}

TEST(SettingsV3, LetTheLearningRateRiseByACosine) {
  auto const config =
      configured({"data.batch_size=2048", "optim.lr_scaling=four_sqrt_1024", "schedules.lr.peak=0",
                  "schedules.lr.end=1.25e-5", "schedules.lr.cosine_epochs=10"});

  EXPECT_EQ(at(config, 0).lr, 0);
  EXPECT_NEAR(at(config, 5'000).lr, 3.536089322e-5, 1e-14);
  EXPECT_NEAR(at(config, 10'000).lr, 7.0710678e-5, 1e-12);
}

TEST(SettingsV3, KeepTheWeightsOfTermsWhereNoScheduleIsInForce) {
  auto const config = configured({"gram.loss_weight=1.5"});

  EXPECT_EQ(at(config, 10).gram_weight, 1.5);
  EXPECT_EQ(at(config, 10).dino_local_weight, 1);
  auto const reweighted = configured({"dino.local_loss_weight_schedule.peak=0.5"});
  EXPECT_EQ(at(reweighted, 10).dino_local_weight, 0.5);
}

// The cosine of a longer run still ends at its end.
TEST(SettingsV3, MayTruncateTheCosines) {
  auto const plain = configured({"optim.warmup_epochs=0", "optim.weight_decay_end=0.4"});
  auto const longer = configured(
      {"optim.warmup_epochs=0", "optim.weight_decay_end=0.4", "optim.schedule_trunc_extra=0.25"});

  EXPECT_EQ(at(longer, 0).weight_decay, at(plain, 0).weight_decay);
  EXPECT_GT(std::abs(at(longer, steps / 2).weight_decay - at(plain, steps / 2).weight_decay), 1e-3);
  EXPECT_NEAR(at(longer, steps - 1).weight_decay, 0.4, 1e-12);
}

}  // namespace
}  // namespace dino::train
