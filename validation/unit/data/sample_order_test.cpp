// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

#include "base/error.hpp"
#include "data/loader.hpp"

namespace dino {
namespace {

std::vector<std::int64_t> order_of(std::int64_t n, std::int64_t block, std::int64_t window,
                                   std::int64_t epoch, std::int64_t seed = 1) {
  SampleOrder const order(n, 1, seed, block, window);
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < n; ++i) indices.push_back(order.permuted(epoch, i));
  return indices;
}

TEST(SampleOrder, IsABijectionForAllSizes) {
  for (std::int64_t const n : {1, 2, 3, 5, 7, 16, 31, 64, 65, 100, 257, 1000}) {
    for (std::int64_t const block : {1, 2, 3, 7, 64, 5000}) {
      for (std::int64_t const window : {1, 2, 5, 256}) {
        for (std::int64_t const epoch : {0, 1, 7}) {
          auto indices = order_of(n, block, window, epoch);
          std::sort(indices.begin(), indices.end());
          std::vector<std::int64_t> all(static_cast<std::size_t>(n));
          std::iota(all.begin(), all.end(), 0);
          ASSERT_EQ(indices, all) << n << " images, block " << block << ", window " << window
                                  << ", epoch " << epoch;
        }
      }
    }
  }
}

TEST(SampleOrder, DiffersBetweenEpochsAndSeeds) {
  auto const first = order_of(500, 8, 4, 0);

  EXPECT_EQ(first, order_of(500, 8, 4, 0));
  EXPECT_NE(first, order_of(500, 8, 4, 1));
  EXPECT_NE(first, order_of(500, 8, 4, 0, 2));
}

// Consecutive positions of one window come from `window` blocks only: that is what makes reading
// cheap.
TEST(SampleOrder, TakesAWindowFromFewBlocks) {
  auto const indices = order_of(1000, 10, 5, 3);
  for (std::size_t begin = 0; begin < 1000; begin += 50) {
    std::set<std::int64_t> blocks;
    for (std::size_t i = begin; i < begin + 50; ++i) blocks.insert(indices[i] / 10);
    EXPECT_EQ(blocks.size(), 5U);
  }
}

// Each image is equally often at each place: chi-squared over (place, image) cells and many epochs.
TEST(SampleOrder, IsUniformOverEpochs) {
  constexpr std::int64_t n = 13;
  constexpr int epochs = 4000;
  std::vector<double> cells(n * n);
  for (int epoch = 0; epoch < epochs; ++epoch) {
    auto const indices = order_of(n, 4, 2, epoch);
    for (std::int64_t i = 0; i < n; ++i) {
      cells[static_cast<std::size_t>(i * n + indices[static_cast<std::size_t>(i)])] += 1;
    }
  }
  // The short last block of one image makes places unequal by itself, so only images of full blocks
  // count here: each must be spread over all places as the others are.
  std::vector<double> by_place(n);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t k = 0; k < 12; ++k)
      by_place[static_cast<std::size_t>(i)] += cells[static_cast<std::size_t>(i * n + k)] / 12;
  }
  double chi_squared = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    double const expected = by_place[static_cast<std::size_t>(i)];
    for (std::int64_t k = 0; k < 12; ++k) {
      double const difference = cells[static_cast<std::size_t>(i * n + k)] - expected;
      chi_squared += difference * difference / expected;
    }
  }
  double const freedom = 13.0 * 11.0;
  EXPECT_LT(chi_squared, freedom + 5 * std::sqrt(2 * freedom));
}

TEST(SampleOrder, DropsTheIncompleteBatchOfEachEpoch) {
  SampleOrder const order(10, 4, 1, 2, 2);

  EXPECT_EQ(order.steps_per_epoch(), 2);
  EXPECT_EQ(order.index(0, 3), order.permuted(0, 3));
  EXPECT_EQ(order.index(1, 0), order.permuted(0, 4));
  EXPECT_EQ(order.index(2, 0), order.permuted(1, 0));
}

TEST(SampleOrder, RefusesABatchLargerThanTheData) {
  try {
    SampleOrder(10, 11, 1, 2, 2);
    FAIL();
  } catch (Error const& error) {
    EXPECT_NE(std::string(error.what()).find("data.batch_size=11"), std::string::npos)
        << error.what();
    EXPECT_EQ(error.code(), ExitCode::usage);
  }
}

}  // namespace
}  // namespace dino
