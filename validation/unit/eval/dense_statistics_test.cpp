// SPDX-License-Identifier: Apache-2.0
#include "eval/dense_statistics.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "support/expect_refusal.hpp"

namespace dino {
namespace {

/// Four patches in the plane: right, up, right, left; the class token points right.
PatchFeatures four(std::int64_t image = 0) {
  return {.image = image,
          .side = 2,
          .dim = 2,
          .patches = {1, 0, 0, 1, 1, 0, -1, 0},
          .class_token = {1, 0}};
}

/// All patches and the class token alike.
PatchFeatures uniform(std::int64_t image) {
  return {.image = image,
          .side = 2,
          .dim = 2,
          .patches = {0, 1, 0, 1, 0, 1, 0, 1},
          .class_token = {0, 1}};
}

TEST(SpreadIndices, TakesAllOfASmallSetAndSpreadsOverALargeOne) {
  EXPECT_EQ(spread_indices(3, 5), (std::vector<std::int64_t>{0, 1, 2}));
  EXPECT_EQ(spread_indices(10, 4), (std::vector<std::int64_t>{0, 2, 5, 7}));
  EXPECT_TRUE(spread_indices(0, 4).empty());
}

TEST(PatchSimilarities, AreCosinesOfAllPairs) {
  EXPECT_EQ(patch_similarities(four()),
            (std::vector<float>{1, 0, 1, -1, 0, 1, 0, 0, 1, 0, 1, -1, -1, 0, -1, 1}));
}

TEST(DenseStatistics, AreMeansOverThePatchesOfAnImage) {
  auto const image = four();

  auto const s = dense_statistics(Communicator::self(), std::span(&image, 1), 1);

  EXPECT_DOUBLE_EQ(s.patch_to_class, 0.25);  // 1, 0, 1, -1
  EXPECT_DOUBLE_EQ(s.patch_to_class_deviation, std::sqrt(0.75 - 0.0625));
  EXPECT_DOUBLE_EQ(s.patch_to_patch, -1.0 / 6);  // 0, 1, -1, 0, 0, -1
  EXPECT_DOUBLE_EQ(s.patch_to_patch_deviation, std::sqrt(0.5 - 1.0 / 36));
  // Side by side 0-1 (0) and 2-3 (-1), one above the other 0-2 (1) and 1-3 (0).
  EXPECT_DOUBLE_EQ(s.adjacent, 0.0);
}

TEST(DenseStatistics, CountEveryImageAlike) {
  std::vector<PatchFeatures> const images{four(0), uniform(1)};

  auto const s = dense_statistics(Communicator::self(), images, 2);

  EXPECT_DOUBLE_EQ(s.patch_to_class, 0.625);
  EXPECT_DOUBLE_EQ(s.patch_to_patch, (1 - 1.0 / 6) / 2);
  EXPECT_DOUBLE_EQ(s.adjacent, 0.5);
}

GramSnapshot snapshot_of(std::vector<PatchFeatures> const& images) {
  GramSnapshot snapshot{.images = "two", .step = 7, .first = 0, .cosines = {}};
  for (auto const& image : images) snapshot.cosines.push_back(patch_similarities(image));
  return snapshot;
}

TEST(GramDistance, IsTheMeanSquaredDifferenceOfCosines) {
  std::vector<PatchFeatures> const then{four(0), uniform(1)}, now{uniform(0), uniform(1)};

  EXPECT_DOUBLE_EQ(gram_distance(Communicator::self(), then, 2, snapshot_of(then)), 0.0);
  // Image 0: six pairs differ by 1, 0, 2, 1, 1, 2, each twice among 16 elements.
  EXPECT_DOUBLE_EQ(gram_distance(Communicator::self(), now, 2, snapshot_of(then)),
                   2.0 * (1 + 0 + 4 + 1 + 1 + 4) / 16 / 2);
}

TEST(GramSnapshot, ComesBackFromItsFile) {
  std::vector<PatchFeatures> const images{four(0), uniform(1)};
  auto const world = Communicator::self();
  write_snapshot(world, "snapshot.h5", snapshot_of(images), 2);

  auto const back = read_snapshot(world, "snapshot.h5", "two", 2);

  EXPECT_EQ(back.step, 7);
  EXPECT_EQ(back.cosines, snapshot_of(images).cosines);
}

TEST(GramSnapshot, OfOtherImagesIsRefused) {
  std::vector<PatchFeatures> const images{four(0), uniform(1)};
  auto const world = Communicator::self();
  write_snapshot(world, "other.h5", snapshot_of(images), 2);

  expect_refusal([&] { read_snapshot(world, "other.h5", "three", 2); }, ExitCode::usage,
                 "is of other images (two) than this run looks at (three)");
  expect_refusal([&] { read_snapshot(world, "nowhere.h5", "two", 2); }, ExitCode::input,
                 "nowhere.h5");
}

}  // namespace
}  // namespace dino
