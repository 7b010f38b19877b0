// SPDX-License-Identifier: Apache-2.0
#include "model/rope.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "base/error.hpp"
#include "support/tolerance.hpp"

namespace dino {
namespace {

constexpr double printed = 5e-7;  // method.md gives seven digits

// Source: method.md 13.
TEST(RopePeriods, AreThoseOfTheBase) {
  auto const small = Rope{}.periods(64), large = Rope{}.periods(128);

  ASSERT_EQ(small.size(), 16U);
  ASSERT_EQ(large.size(), 32U);
  EXPECT_EQ(small[0], 1);
  EXPECT_NEAR(small[1], 1.333521, printed);
  EXPECT_NEAR(small[8], 10, printed);
  EXPECT_NEAR(small[15], 74.989421, printed);
  EXPECT_NEAR(large[1], 1.154782, printed);
  EXPECT_NEAR(large[31], 86.596432, printed);
}

TEST(RopePeriods, RunFromTheShortestToTheLongest) {
  Rope const rope{.base = {}, .min_period = 0.5, .max_period = 32};

  auto const periods = rope.periods(16);

  EXPECT_LE(test::deviation(periods, std::vector<double>{0.5, 2, 8, 32}),
            test::tolerance<double>());
  EXPECT_EQ(rope.periods(4), std::vector<double>{0.5});  // linspace(0, 1, 1) is 0
}

/// The sines of a table with one period 2π, that is of the coordinates: rows, then columns.
std::vector<double> coordinates(RopeNormalize normalize, RopeDraw const& draw) {
  std::vector<double> const periods{2 * std::numbers::pi};
  std::vector<float> table(2 * (2 + 3));
  fill_rope_table(normalize, periods, 2, 3, draw, table);
  std::vector<double> out;
  for (std::size_t i = 0; i < table.size(); i += 2)
    out.push_back(std::atan2(table[i + 1], table[i]));
  return out;
}

TEST(RopeTable, NormalizesCoordinates) {
  using N = RopeNormalize;
  using Lines = std::vector<double>;
  auto const expect = [](N normalize, RopeDraw const& draw, Lines const& lines) {
    EXPECT_LE(test::deviation(coordinates(normalize, draw), lines), test::tolerance<float>());
  };
  expect(N::separate, {}, {-1. / 2, 1. / 2, -2. / 3, 0, 2. / 3});
  expect(N::max, {}, {-2. / 3, 0, -2. / 3, 0, 2. / 3});
  expect(N::min, {}, {-1. / 2, 1. / 2, -1. / 2, 1. / 2, 3. / 2});
  expect(N::separate, {.shift = {0.5, -0.25}, .factor = {3, 2}}, {0, 3, -11. / 6, -1. / 2, 5. / 6});
}

TEST(RopeDraws, AreAFunctionOfStepBlockAndKindOfCrop) {
  RopeAugmentation const by{.shift = 0.25, .jitter = 1.5, .rescale = 2};
  auto const at = [](std::vector<RopeDraw> const& draws) {
    std::vector<double> factors;
    for (auto const& draw : draws) factors.push_back(draw.factor[0]);
    return factors;
  };

  auto const first = at(by.draws(7, 3, 4));

  EXPECT_EQ(first.size(), 8U);
  EXPECT_EQ(first, at(by.draws(7, 3, 4)));
  EXPECT_EQ(std::vector(first.begin(), first.begin() + 4), at(by.draws(7, 3, 2)));
  for (std::size_t i = 0; i < first.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) EXPECT_NE(first[i], first[j]);
  }
  EXPECT_NE(first, at(by.draws(7, 4, 4)));
  EXPECT_NE(first, at(by.draws(8, 3, 4)));
}

TEST(RopeDraws, FillTheirRanges) {
  RopeAugmentation const by{.shift = 0.25, .jitter = 1.5, .rescale = 2};
  double least = 1, most = 1, shift = 0;

  for (auto const& draw : by.draws(1, 0, 2000)) {
    for (std::size_t axis = 0; axis < 2; ++axis) {
      least = std::min(least, draw.factor[axis]);
      most = std::max(most, draw.factor[axis]);
      shift = std::max(shift, std::abs(draw.shift[axis]));
    }
  }

  EXPECT_THAT(least, testing::AllOf(testing::Ge(1 / 3.0), testing::Lt(0.36)));
  EXPECT_THAT(most, testing::AllOf(testing::Le(3.0), testing::Gt(2.8)));
  EXPECT_THAT(shift, testing::AllOf(testing::Le(0.25), testing::Gt(0.24)));
}

TEST(RopeDraws, LeaveAloneWhatIsOff) {
  EXPECT_FALSE(RopeAugmentation{}.any());
  RopeAugmentation const rescale{.rescale = 2};
  RopeAugmentation const both{.shift = 0.5, .rescale = 2};
  EXPECT_TRUE(rescale.any());

  auto const alone = rescale.draws(5, 9, 3), together = both.draws(5, 9, 3);

  for (std::size_t i = 0; i < alone.size(); ++i) {
    EXPECT_EQ(alone[i].shift, (std::array<double, 2>{0, 0}));
    EXPECT_EQ(alone[i].factor[0], alone[i].factor[1]);  // one scalar for both axes
    EXPECT_EQ(alone[i].factor, together[i].factor);
  }
}

TEST(RopeName, IsOneOfThree) {
  EXPECT_EQ(rope_normalize("min"), RopeNormalize::min);
  EXPECT_THROW(rope_normalize("mean"), Error);
}

}  // namespace
}  // namespace dino
