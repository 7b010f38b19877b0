// SPDX-License-Identifier: Apache-2.0
#include "objective/sinkhorn_knopp.hpp"

#include "objective/target_statistics.hpp"
#include "unit/kernels/kernel_test.hpp"
#include "unit/objective/objective_reference.hpp"

using namespace dino;
using namespace dino::test;

namespace {

/// Targets of logits [n, width] on one rank, in parts of the given numbers of rows.
std::vector<float> targets(std::vector<float> logits, std::int64_t width, double temperature,
                           std::vector<std::int64_t> const& parts, int iterations = 3) {
  Arena arena(host, 1 << 20);
  std::vector<LogitTile> tiles;
  std::int64_t begin = 0;
  for (auto const rows : parts) {
    tiles.push_back({{logits.data() + begin * width, {rows, width}}});
    begin += rows;
  }
  SinkhornKnopp sinkhorn(host, width, iterations);
  auto const each = [&](auto const& visit) { std::for_each(tiles.begin(), tiles.end(), visit); };
  sinkhorn.solve(arena, Communicator::self(), each, temperature);
  for (auto& tile : tiles) sinkhorn.targets(arena, tile);
  EXPECT_EQ(arena.mark(), 0);
  return logits;
}

TEST(SinkhornKnoppTest, GivesTheNumbersWorkedOutByHand) {
  auto const actual = targets({1, 0, -1, 0, 2, 0, .5F, .5F, .5F, -1, 0, 1}, 3, 0.5, {4});

  Doubles const expected{.93343052, .0494731,  .01709638, .04276743, .91446514, .04276743,
                         .41812486, .16375029, .41812486, .01709638, .0494731,  .93343052};
  EXPECT_LE(deviation_from(actual, expected), 2e-8 + tolerance<float>());
}

TEST(SinkhornKnoppTest, AgreesWithTheDefinition) {
  for (std::int64_t const width : {1, 7, 64, 300}) {
    for (std::int64_t const rows : {1, 2, 17, 65}) {
      for (int const iterations : {1, 3}) {
        SCOPED_TRACE(testing::Message() << rows << " x " << width);
        auto const logits = random_values<float>(rows * width, 1, 0.3);

        auto const actual = targets(logits, width, 0.06, {rows}, iterations);

        auto const expected =
            sinkhorn(doubles(logits), static_cast<std::size_t>(width), 0.06, iterations);
        // The exponents are about 20, whose rounding is that many times larger.
        EXPECT_LE(deviation_from(actual, expected), 20 * tolerance<float>());
      }
    }
  }
}

TEST(SinkhornKnoppTest, DoesNotDependOnTheParts) {
  auto const logits = random_values<float>(17 * 67, 1, 0.3);

  auto const whole = targets(logits, 67, 0.06, {17});

  EXPECT_EQ(targets(logits, 67, 0.06, {0, 5, 0, 1, 11}), whole);
  EXPECT_TRUE(targets({}, 67, 0.06, {}).empty());
  EXPECT_TRUE(targets({}, 67, 0.06, {0, 0}).empty());
}

// e^(z/τ) of the largest is e^400; a maximum over the samples would leave zeros in the other rows.
TEST(SinkhornKnoppTest, TakesLogitsWhoseExponentialOverflows) {
  auto logits = random_values<float>(9 * 31, 1, 0.2);
  for (std::size_t i = 0; i < 31; ++i) logits[i] += 20;

  auto const actual = targets(logits, 31, 0.05, {9});

  EXPECT_LE(deviation_from(actual, sinkhorn(doubles(logits), 31, 0.05, 3)),
            400 * tolerance<float>());
  for (std::size_t row = 0; row < 9; ++row) {
    auto const begin = actual.begin() + static_cast<std::ptrdiff_t>(31 * row);
    EXPECT_NEAR(std::accumulate(begin, begin + 31, 0.0), 1, tolerance<float>(31));
  }
}

TEST(SinkhornKnoppTest, LetsNotANumberThrough) {
  std::vector<float> logits(12, 0.5F);
  logits[5] = NAN;

  auto const actual = targets(logits, 4, 0.05, {3});

  EXPECT_TRUE(std::isnan(actual[4]));
}

TEST(SinkhornKnoppTest, RefusesNoIterations) {
  EXPECT_THAT(refusal([] { SinkhornKnopp(host, 4, 0); }),
              testing::HasSubstr("iterations: 0 (must be at least 1)"));
}

TEST(TargetStatisticsTest, MeanEntropyAndPrototypesInUse) {
  std::vector<float> const targets{.5F, .5F, 0, 0, 0, 1};
  TargetStatistics statistics(host, 3);

  statistics.begin_step();
  statistics.add(as<2>(targets, {2, 3}));
  statistics.add({nullptr, {0, 3}});
  auto const some = statistics.finish_step(Communicator::self());
  statistics.begin_step();
  auto const none = statistics.finish_step(Communicator::self());

  EXPECT_NEAR(some.entropy, std::log(2.0) / 2, tolerance<float>());
  EXPECT_EQ(some.prototypes, 2);
  EXPECT_EQ(none.entropy, 0);
  EXPECT_EQ(none.prototypes, 0);
}

}  // namespace
