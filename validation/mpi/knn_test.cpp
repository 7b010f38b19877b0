// SPDX-License-Identifier: Apache-2.0
#include "eval/knn.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/philox.hpp"
#include "eval/neighbours.hpp"

namespace dino {
namespace {

constexpr std::int64_t dim = 5;
constexpr std::int64_t classes = 4;
constexpr std::int64_t row_bytes = dim * static_cast<std::int64_t>(sizeof(float));

/// Rows of small integers, so that equal similarities abound.
LabelledFeatures whole_set(std::int64_t n, std::uint64_t seed) {
  Philox random(seed, Purpose::test, 0);
  LabelledFeatures out{.dim = dim};
  for (std::int64_t i = 0; i < n * dim; ++i)
    out.features.push_back(static_cast<float>(random.below(3)) - 1.0F);
  for (std::int64_t i = 0; i < n; ++i)
    out.labels.push_back(static_cast<std::int64_t>(random.below(classes)));
  return out;
}

LabelledFeatures rows_of(LabelledFeatures const& all, Share const& share) {
  LabelledFeatures out{.dim = all.dim};
  out.features.assign(all.features.begin() + share.begin * dim,
                      all.features.begin() + share.end * dim);
  out.labels.assign(all.labels.begin() + share.begin, all.labels.begin() + share.end);
  return out;
}

TEST(KnnOnRanks, FindsTheNeighboursOfOneRank) {
  auto const world = Communicator::world();
  auto const train = whole_set(53, 1);
  auto const test = whole_set(37, 2);
  auto const mine = share_of(test.size(), world.rank(), world.size());
  auto const expected = nearest_neighbours(Communicator::self(), train, rows_of(test, mine), 11);

  for (std::int64_t const piece_bytes :
       {std::int64_t{1}, 3 * row_bytes * world.size(), default_piece_bytes}) {
    auto const found = nearest_neighbours(
        world, rows_of(train, share_of(train.size(), world.rank(), world.size())),
        rows_of(test, mine), 11, piece_bytes);

    EXPECT_EQ(found.index, expected.index) << piece_bytes;
    EXPECT_EQ(found.similarity, expected.similarity) << piece_bytes;
    EXPECT_EQ(found.label, expected.label) << piece_bytes;
  }
}

TEST(KnnOnRanks, ScoresAsOneRankHoweverTheImagesAreSpread) {
  auto const world = Communicator::world();
  auto const train = whole_set(53, 3);
  auto const test = whole_set(37, 4);
  std::vector<std::int64_t> const ks{1, 10, 1000};
  auto const expected = knn_classify(Communicator::self(), train, test, ks, classes, 0.07);
  auto const last = world.size() - 1;
  auto const all_or_none = [&](LabelledFeatures const& set, int owner) {
    return world.rank() == owner ? set : LabelledFeatures{};
  };

  auto const even = knn_classify(
      world, rows_of(train, share_of(train.size(), world.rank(), world.size())),
      rows_of(test, share_of(test.size(), world.rank(), world.size())), ks, classes, 0.07);
  auto const uneven =
      knn_classify(world, all_or_none(train, last), all_or_none(test, 0), ks, classes, 0.07);

  EXPECT_GT(expected[1].top1, 0.0);
  for (std::size_t i = 0; i < ks.size(); ++i) {
    for (auto const* const result : {&even, &uneven}) {
      EXPECT_EQ((*result)[i].k, expected[i].k);
      EXPECT_EQ((*result)[i].top1, expected[i].top1);
      EXPECT_EQ((*result)[i].top5, expected[i].top5);
    }
  }
}

TEST(KnnOnRanks, RefusesOnEveryRankWhatOneRankHolds) {
  auto const world = Communicator::world();
  auto const last = world.rank() == world.size() - 1;
  auto const good = whole_set(4, 5);
  auto bad_label = good;
  auto bad_width = good;
  if (last) bad_label.labels[2] = classes;
  if (last) bad_width.features.pop_back();
  std::vector<std::int64_t> const ks{1};

  EXPECT_THROW(knn_classify(world, bad_label, good, ks, classes, 0.07), Error);
  EXPECT_THROW(knn_classify(world, good, bad_label, ks, classes, 0.07), Error);
  EXPECT_THROW(knn_classify(world, bad_width, good, ks, classes, 0.07), Error);
}

}  // namespace
}  // namespace dino
