// SPDX-License-Identifier: Apache-2.0
#include "optim/schedule.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace dino::optim {
namespace {

/// Published values below have ten digits: one half in the last of them, relative.
constexpr double ten_digits = 5e-10;

void expect_ten_digits(double actual, double expected) {
  EXPECT_LE(std::abs(actual - expected), ten_digits * std::abs(expected)) << actual;
}

TEST(CosineA, FollowsTheVanillaRunOfV1) {
  constexpr std::int64_t epoch = 2502;
  CosineA const lr{.total = 100 * epoch, .base = 1e-3, .last = 1e-6, .warmup = 10 * epoch};
  CosineA const decay{.total = 100 * epoch, .base = 0.04, .last = 0.4};
  CosineA const momentum{.total = 100 * epoch, .base = 0.996, .last = 1.0};

  EXPECT_EQ(lr.at(0), 0.0);
  expect_ten_digits(lr.at(1), 3.996962309e-8);
  expect_ten_digits(lr.at(2240), 8.953195571e-5);
  EXPECT_EQ(lr.at(25019), 1e-3);
  EXPECT_EQ(lr.at(25020), 1e-3);
  expect_ten_digits(lr.at(125100), 5.872372647e-4);
  expect_ten_digits(lr.at(250199), 1.000000049e-6);
  EXPECT_NEAR(decay.at(2240), 0.04007119, 5e-9);
  EXPECT_NEAR(decay.at(125100), 0.22, 1e-15);
  EXPECT_NEAR(momentum.at(125100), 0.998, 1e-15);
}

TEST(CosineA, FollowsTheShortRunOfV2) {
  auto const peak = scaled_lr(0.004, LrScaling::sqrt_1024, 2048);
  CosineA const lr{.total = 125000, .base = peak, .last = 1e-6, .warmup = 12500};

  expect_ten_digits(peak, 5.656854249e-3);
  expect_ten_digits(lr.at(1), 4.525845467e-7);
  expect_ten_digits(lr.at(62500), 3.319991517e-3);
  expect_ten_digits(lr.at(124999), 1.000001103e-6);
}

TEST(CosineA, HasAWarmUpOfOneIterationAFreezeAndAnEnd) {
  CosineA const lr{.total = 6, .base = 1, .last = 0.5, .warmup = 1, .start = 0.25, .freeze = 2};

  EXPECT_EQ(lr.at(0), 0.0);
  EXPECT_EQ(lr.at(1), 0.0);
  EXPECT_EQ(lr.at(2), 0.25);
  EXPECT_EQ(lr.at(3), 1.0);
  EXPECT_GT(lr.at(5), 0.5);
  EXPECT_EQ(lr.at(6), 0.5);
  EXPECT_EQ(lr.at(1000000), 0.5);
}

TEST(CosineA, ReachesItsLastValueWhenTruncated) {
  CosineA const lr{.total = 40, .base = 1e-3, .last = 1e-6, .warmup = 8, .trunc_extra = 0.25};

  EXPECT_EQ(lr.at(7), 1e-3);
  EXPECT_EQ(lr.at(8), 1e-3);
  EXPECT_EQ(lr.at(39), 1e-6);
  EXPECT_EQ((CosineA{.total = 1, .base = 2, .last = 1, .trunc_extra = 0.5}).at(0), 2.0);
}

TEST(CosineA, EndsInItsWarmUpWhereThatIsLonger) {
  CosineA const lr{.total = 3, .base = 1, .last = 0, .warmup = 5};

  EXPECT_EQ(lr.at(2), 0.5);
  EXPECT_EQ(lr.at(3), 0.0);
}

TEST(CosineB, FollowsTheSevenBillionRunOfV3) {
  auto const peak = scaled_lr(5e-5, LrScaling::four_sqrt_1024, 4096);
  CosineB const lr{.total = 1000000, .start = 0, .peak = peak, .end = peak, .warmup = 100000};
  CosineB const gram{
      .total = 2000000, .start = 0, .peak = 0, .end = 2, .warmup = 1000000, .cosine = 1000};

  EXPECT_NEAR(peak, 4e-4, 1e-18);
  EXPECT_NEAR(lr.at(1), 4e-9, 1e-22);
  EXPECT_NEAR(lr.at(99999), 3.99996e-4, 1e-18);
  EXPECT_EQ(lr.at(100000), peak);
  EXPECT_EQ(lr.at(999999), peak);
  EXPECT_EQ(gram.at(1000000), 0.0);
  EXPECT_NEAR(gram.at(1000001), 4.945e-6, 5e-10);
  EXPECT_NEAR(gram.at(1000500), 1.001572368, 5e-10);
  EXPECT_EQ(gram.at(1000999), 2.0);
  EXPECT_EQ(gram.at(1500000), 2.0);
}

TEST(CosineB, IsOneValueWhereTheCosineHasLengthOne) {
  CosineB const schedule{.total = 5, .start = 0, .peak = 3, .end = 1, .warmup = 2, .cosine = 1};

  EXPECT_EQ(schedule.at(1), 1.5);
  EXPECT_EQ(schedule.at(2), 3.0);
  EXPECT_EQ(schedule.at(3), 1.0);
}

TEST(LinearRamp, ReachesItsValueInItsLastStep) {
  LinearRamp const three{.start = 0.04, .value = 0.07, .warmup = 3};

  EXPECT_EQ(three.at(0), 0.04);
  EXPECT_NEAR(three.at(1), 0.055, 1e-16);
  EXPECT_EQ(three.at(2), 0.07);
  EXPECT_EQ(three.at(3), 0.07);
  EXPECT_EQ((LinearRamp{.start = 0.02, .value = 0.06, .warmup = 1}).at(0), 0.02);
  EXPECT_EQ((LinearRamp{.start = 0.02, .value = 0.06, .warmup = 0}).at(0), 0.06);
}

TEST(LearningRate, FollowsTheRulesOfTheVersions) {
  EXPECT_EQ(scaled_lr(0.5, LrScaling::none, 4096), 0.5);
  EXPECT_EQ(scaled_lr(0.5, LrScaling::linear_256, 512), 1.0);
  EXPECT_EQ(scaled_lr(0.5, LrScaling::sqrt_1024, 4096), 1.0);
  EXPECT_EQ(scaled_lr(0.5, LrScaling::four_sqrt_1024, 64), 0.5);
  EXPECT_EQ(last_layer_lr(0.5, 9, 10), 0.0);
  EXPECT_EQ(last_layer_lr(0.5, 10, 10), 0.5);
}

}  // namespace
}  // namespace dino::optim
