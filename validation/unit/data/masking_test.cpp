// SPDX-License-Identifier: Apache-2.0
#include "data/masking.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "base/error.hpp"

namespace dino {
namespace {

MaskSettings exact_masks(int grid_h, int grid_w) {
  return {.grid_h = grid_h,
          .grid_w = grid_w,
          .max_block = 0.5 * grid_h * grid_w,
          .completion = MaskCompletion::exact};
}

std::vector<std::int64_t> counts(MaskLadder const& ladder) {
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < ladder.masked(); ++i) out.push_back(ladder.most(i));
  return out;
}

TEST(MaskLadderTest, GivesTheCountsOfThePublishedCode) {
  auto const small = counts({exact_masks(14, 14), 128});
  EXPECT_EQ(std::vector(small.begin(), small.begin() + 3), (std::vector<std::int64_t>{20, 22, 23}));
  EXPECT_EQ(small.back(), 98);
  EXPECT_EQ(std::accumulate(small.begin(), small.end(), std::int64_t{0}), 3771);
  auto const large = counts({exact_masks(16, 16), 32});
  EXPECT_EQ(std::vector(large.begin(), large.begin() + 3), (std::vector<std::int64_t>{32, 38, 44}));
  EXPECT_EQ(large.back(), 128);
  EXPECT_EQ(std::accumulate(large.begin(), large.end(), std::int64_t{0}), 1274);
}

TEST(MaskLadderTest, BoundsAnySlice) {
  MaskLadder const ladder(exact_masks(4, 4), 6);  // 3, 5 and 8 patches in three of six crops
  EXPECT_EQ(ladder.upper_bound(6), 16);
  EXPECT_EQ(ladder.upper_bound(2), 13);
  EXPECT_EQ(ladder.upper_bound(0), 0);
}

TEST(LargestBlock, IsHalfOfTheGrid) {
  EXPECT_EQ(largest_block(224, 16), 98);
  EXPECT_EQ(largest_block(224, 14), 128);
  EXPECT_EQ(largest_block(512, 16), 512);
  EXPECT_EQ(largest_block(768, 16), 1152);
}

TEST(DrawMask, ReachesItsTargetExactlyOrStaysBelow) {
  for (auto const completion : {MaskCompletion::none, MaskCompletion::exact}) {
    for (int const side : {1, 2, 7, 14}) {
      MaskSettings settings = exact_masks(side, side);
      settings.completion = completion;
      std::vector<std::uint8_t> mask(static_cast<std::size_t>(side * side));
      Philox random(3, Purpose::test, static_cast<std::uint64_t>(side));
      for (std::int64_t target = 0; target <= settings.patches(); ++target) {
        auto const count = draw_mask(random, mask, settings, target);
        EXPECT_EQ(count, std::count(mask.begin(), mask.end(), 1));
        EXPECT_LE(count, target);
        if (completion == MaskCompletion::exact) {
          EXPECT_EQ(count, target);
        }
      }
    }
  }
}

TEST(Collate, NumbersAndWeighsMaskedPatches) {
  auto const out = collate({0, 1, 0, 1, /**/ 0, 0, 0, 0, /**/ 1, 1, 1, 0}, 4);

  EXPECT_EQ(out.indices, (std::vector<std::int64_t>{1, 3, 8, 9, 10}));
  EXPECT_EQ(out.weights, (std::vector<float>{.5F, .5F, 1.0F / 3, 1.0F / 3, 1.0F / 3}));
  EXPECT_EQ(out.counts, (std::vector<std::int64_t>{2, 0, 3}));
  EXPECT_TRUE(collate({}, 4).indices.empty());
}

TEST(MaskMakerTest, DealsTheLadderOutOverTheGlobalBatch) {
  std::int64_t const batch = 9;
  MaskMaker const maker(exact_masks(5, 7), batch, 11);
  std::set<std::vector<std::int64_t>> orders;
  for (std::int64_t step = 0; step < 4; ++step) {
    auto const all = maker.masks(step, 0, batch);
    orders.insert(all.counts);
    auto sorted = all.counts;
    std::sort(sorted.begin(), sorted.end());
    auto ladder = counts(maker.ladder());
    ladder.insert(ladder.begin(), 9, 0);  // int(18 * 0.5) of the crops have a mask
    EXPECT_EQ(sorted, ladder);
  }
  EXPECT_EQ(orders.size(), 4U);
  EXPECT_NE(MaskMaker(exact_masks(5, 7), batch, 12).masks(0, 0, batch).masks,
            maker.masks(0, 0, batch).masks);
}

TEST(MaskMakerTest, GivesASliceTheMasksOfTheWhole) {
  std::int64_t const batch = 7, patches = 35;
  auto settings = exact_masks(5, 7);
  settings.completion = MaskCompletion::none;
  settings.circular_shift = true;
  MaskMaker const maker(settings, batch, 11);
  auto const whole = maker.masks(5, 0, batch).masks;
  for (std::int64_t first = 0; first < batch; ++first) {
    for (std::int64_t images = 0; first + images <= batch; ++images) {
      auto const slice = maker.masks(5, first, images);
      EXPECT_LE(static_cast<std::int64_t>(slice.indices.size()), maker.most_masked(images));
      for (std::int64_t i = 0; i < 2 * images; ++i) {
        auto const crop = i / images * batch + first + i % images;
        EXPECT_TRUE(std::equal(slice.masks.begin() + i * patches,
                               slice.masks.begin() + (i + 1) * patches,
                               whole.begin() + crop * patches));
      }
    }
  }
}

TEST(MaskMakerTest, MasksNothingWhereNothingIsAskedFor) {
  auto settings = exact_masks(4, 4);
  settings.sample_probability = 0;
  EXPECT_TRUE(MaskMaker(settings, 4, 1).masks(0, 0, 4).indices.empty());
  EXPECT_TRUE(MaskMaker(exact_masks(4, 4), 0, 1).masks(0, 0, 0).masks.empty());
}

template <class Change>
std::string refusal(Change const& change) {
  auto settings = exact_masks(4, 4);
  change(settings);
  try {
    MaskMaker(settings, 4, 1);
  } catch (Error const& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(MaskMakerTest, RefusesImpossibleShares) {
  EXPECT_THAT(refusal([](MaskSettings& s) { s.sample_probability = 1.5; }),
              testing::HasSubstr("mask_sample_probability=1.5"));
  EXPECT_THAT(refusal([](MaskSettings& s) {
                s.ratio = {0.6, 0.5};
              }),
              testing::HasSubstr("mask ratios [0.6, 0.5]"));
  EXPECT_THAT(refusal([](MaskSettings& s) { s.min_aspect = 0; }), testing::HasSubstr("aspect"));
  EXPECT_THAT(refusal([](MaskSettings& s) { s.grid_h = 0; }), testing::HasSubstr("0 x 4"));
}

}  // namespace
}  // namespace dino
