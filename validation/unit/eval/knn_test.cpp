// SPDX-License-Identifier: Apache-2.0
#include "eval/knn.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "base/philox.hpp"
#include "eval/neighbours.hpp"
#include "support/expect_refusal.hpp"
#include "support/tolerance.hpp"

namespace dino {
namespace {

LabelledFeatures set_of(std::int64_t dim, std::vector<float> features,
                        std::vector<std::int64_t> labels) {
  return {.dim = dim, .features = std::move(features), .labels = std::move(labels)};
}

KnnResult classify(LabelledFeatures const& train, LabelledFeatures const& test, std::int64_t k,
                   std::int64_t classes, double temperature = 0.07) {
  std::int64_t const ks[] = {k};
  return knn_classify(Communicator::self(), train, test, ks, classes, temperature).at(0);
}

/// Four training images on the unit circle.
LabelledFeatures four() {
  return set_of(2, {1, 0, 0.8F, 0.6F, 0.6F, 0.8F, 0, 1}, {2, 0, 0, 1});
}

TEST(Knn, LetsTheNearestNeighbourDecideForOneNeighbour) {
  auto const test = set_of(2, {1, 0, 0, 1, 0.8F, 0.6F}, {2, 1, 1});

  auto const result = classify(four(), test, 1, 3);

  EXPECT_EQ(result.k, 1);
  EXPECT_DOUBLE_EQ(result.top1, 200.0 / 3);
  EXPECT_DOUBLE_EQ(result.top5, 200.0 / 3);  // top-min(5, k)
}

TEST(Knn, WeighsVotesByTheirSimilarity) {
  // Similarities with (1, 0): 1, 0.8, 0.6, 0. At T = 1, 0 gets exp(0.8) + exp(0.6) > exp(1) of 2;
  // at T = 0.1, exp(10) > exp(8) + exp(6).
  auto const test = set_of(2, {1, 0}, {0});

  EXPECT_EQ(classify(four(), test, 3, 3, 1.0).top1, 100.0);
  EXPECT_EQ(classify(four(), test, 3, 3, 0.1).top1, 0.0);
}

TEST(Knn, RanksTheLowerClassFirstAmongEqualScores) {
  auto const train = set_of(2, {1, 0, 1, 0}, {3, 1});

  EXPECT_EQ(classify(train, set_of(2, {1, 0}, {1}), 2, 4).top1, 100.0);
  EXPECT_EQ(classify(train, set_of(2, {1, 0}, {3}), 2, 4).top1, 0.0);
  EXPECT_EQ(classify(train, set_of(2, {1, 0}, {3}), 2, 4).top5, 100.0);  // 1, 3
}

TEST(Knn, CountsClassesWithoutNeighboursInTheirOrderForTopFive) {
  auto const train = set_of(1, {1, 1, 1, 1, 1}, {7, 7, 7, 7, 7});

  EXPECT_EQ(classify(train, set_of(1, {1}, {3}), 5, 9).top5, 100.0);  // 7, 0, 1, 2, 3
  EXPECT_EQ(classify(train, set_of(1, {1}, {4}), 5, 9).top5, 0.0);
}

TEST(Knn, PrefersTheLowerIndexAmongEquallySimilarImages) {
  auto const train = set_of(1, {1, 1, 1}, {2, 1, 0});

  EXPECT_EQ(classify(train, set_of(1, {1}, {2}), 1, 3).top1, 100.0);
}

TEST(Knn, TakesAtMostAllTrainingImages) {
  auto const test = set_of(2, {1, 0}, {0});
  std::int64_t const ks[] = {200, 3};

  auto const results = knn_classify(Communicator::self(), four(), test, ks, 3, 1.0);

  EXPECT_EQ(results.at(0).k, 4);
  EXPECT_EQ(results.at(1).k, 3);
  EXPECT_EQ(results.at(0).top1, 100.0);
}

TEST(Knn, StandsTemperaturesAtWhichPlainWeightsOverflow) {
  EXPECT_EQ(classify(four(), set_of(2, {1, 0}, {2}), 4, 3, 1e-4).top1, 100.0);
}

/// Random rows of unit length.
LabelledFeatures random_set(std::int64_t n, std::int64_t dim, std::uint64_t seed) {
  Philox random(seed, Purpose::test, 0);
  LabelledFeatures out{.dim = dim};
  for (std::int64_t i = 0; i < n * dim; ++i)
    out.features.push_back(static_cast<float>(random.normal()));
  for (std::int64_t i = 0; i < n; ++i)
    out.labels.push_back(static_cast<std::int64_t>(random.below(5)));
  normalize_rows(out.features, dim);
  return out;
}

double dot(LabelledFeatures const& a, std::int64_t i, LabelledFeatures const& b, std::int64_t j) {
  double sum = 0;
  for (std::int64_t d = 0; d < a.dim; ++d)
    sum += static_cast<double>(a.features[static_cast<std::size_t>(i * a.dim + d)]) *
           static_cast<double>(b.features[static_cast<std::size_t>(j * b.dim + d)]);
  return sum;
}

/// Sizes around a group of 16 test images and a tile of 4 training images.
TEST(Neighbours, AreThoseOfAFullSort) {
  for (auto const& [trains, tests, dim] :
       {std::array<std::int64_t, 3>{1, 1, 1}, {3, 15, 2}, {4, 16, 3}, {5, 17, 7}, {41, 33, 13}}) {
    auto const train = random_set(trains, dim, 1);
    auto const test = random_set(tests, dim, 2);
    auto const k = std::min<std::int64_t>(trains, 7);

    auto const found = nearest_neighbours(Communicator::self(), train, test, k);

    ASSERT_EQ(found.rows, tests);
    for (std::int64_t i = 0; i < tests; ++i) {
      std::vector<std::pair<double, std::int64_t>> order;
      for (std::int64_t j = 0; j < trains; ++j) order.emplace_back(-dot(test, i, train, j), j);
      std::sort(order.begin(), order.end());
      for (std::int64_t j = 0; j < k; ++j) {
        auto const at = static_cast<std::size_t>(i * k + j);
        auto const& [similarity, index] = order[static_cast<std::size_t>(j)];
        EXPECT_EQ(found.index[at], index);
        EXPECT_EQ(found.similarity[at], -similarity);
        EXPECT_EQ(found.label[at], train.labels[static_cast<std::size_t>(index)]);
      }
    }
  }
}

TEST(NormalizeRows, MakesRowsOfUnitLengthAndLeavesZeros) {
  std::vector<float> rows{3, 4, 0, 0, 1e-30F, 0, -5e20F, 12e20F};

  normalize_rows(rows, 2);

  std::vector<float> const expected{0.6F, 0.8F, 0, 0, 1, 0, -5.0F / 13, 12.0F / 13};
  EXPECT_LE(test::deviation(rows, expected), test::tolerance<float>(2));
}

TEST(Knn, RefusesWhatIsNoDataSet) {
  auto const good = set_of(2, {1, 0}, {0});
  auto const nan = set_of(2, {1, std::numeric_limits<float>::quiet_NaN()}, {0});
  auto const refused = [](LabelledFeatures const& train, LabelledFeatures const& test,
                          std::string const& text, ExitCode code = ExitCode::usage) {
    expect_refusal([&] { classify(train, test, 1, 2); }, code, text);
  };

  refused(set_of(2, {}, {}), good, "no training images");
  refused(good, set_of(0, {}, {}), "no test images");
  refused(set_of(2, {1, 0}, {2}), good, "training images is 2 (must be in [0, 2))");
  refused(good, set_of(2, {1, 0}, {-1}), "test images is -1 (must be in [0, 2))");
  refused(good, set_of(1, {1}, {0}), "columns");
  refused(set_of(2, {1, 0, 1}, {0}), good, "3 numbers for 1 labels");
  refused(good, nan, "NaN", ExitCode::numerical);
  refused(nan, good, "NaN", ExitCode::numerical);
  expect_refusal([&] { classify(good, good, 0, 2); }, ExitCode::usage, "neighbours 0");
  expect_refusal([&] { classify(good, good, 1, 2, 0.0); }, ExitCode::usage, "temperature");
  expect_refusal([&] { classify(good, good, 1, 0); }, ExitCode::usage, "classes");
}

}  // namespace
}  // namespace dino
