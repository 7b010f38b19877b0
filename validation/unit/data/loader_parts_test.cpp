// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "data/crop_maker.hpp"
#include "data/micro_batch.hpp"

namespace dino {
namespace {

TEST(MicroBatch, SharesOutASliceWithoutGaps) {
  SampleOrder const order(100, 10, 0, 8, 2);
  BatchSlice const slice{.begin = 3, .end = 10, .micro_batches = 3};

  std::vector<std::int64_t> positions;
  for (std::int64_t part = 0; part < 3; ++part) {
    auto const batch = micro_batch_at(order, slice, 10, 4, 4, part);
    for (std::size_t i = 0; i < batch.positions.size(); ++i) {
      EXPECT_EQ(batch.indices[i], order.index(4, batch.positions[i] - 40));
      positions.push_back(batch.positions[i]);
    }
  }

  EXPECT_EQ(positions, (std::vector<std::int64_t>{43, 44, 45, 46, 47, 48, 49}));
}

TEST(ReadRuns, JoinNeighboursUpToALimit) {
  auto const runs = read_runs({9, 4, 5, 20, 6, 7, 8}, 4);

  ASSERT_EQ(runs.size(), 3U);
  EXPECT_EQ(runs[0].begin, 4);
  EXPECT_EQ(runs[0].places, (std::vector<std::int64_t>{1, 2, 4, 5}));
  EXPECT_EQ(runs[1].begin, 8);
  EXPECT_EQ(runs[1].places, (std::vector<std::int64_t>{6, 0}));
  EXPECT_EQ(runs[2].begin, 20);
}

DrawnView view_of(int height, int width) {
  DrawnView view;
  view.box = {0, 0, height, width};
  return view;
}

TEST(DctScaling, LeavesEveryCropAtLeastItsPixels) {
  Extents const image{1000, 1600};
  std::vector<std::int64_t> const sizes{224, 96};
  auto const side = [&](std::vector<DrawnView> const& views) {
    return least_decoded_side(image, views, sizes);
  };

  EXPECT_EQ(side({view_of(900, 900), view_of(400, 390)}), 250);  // 1/4: 225 and 97 pixels are left
  EXPECT_EQ(side({view_of(900, 900), view_of(400, 380)}), 500);  // 1/2, because 380 / 4 < 96
  EXPECT_EQ(side({view_of(447, 900), view_of(400, 400)}),
            0);  // not even 1/2, because 447 / 2 < 224
  EXPECT_EQ(least_decoded_side({4000, 4000}, std::vector{view_of(2000, 2000)},
                               std::vector<std::int64_t>{224}),
            500);
}

TEST(DctScaling, KeepsScaledBoxesInside) {
  Extents const full{1001, 777};
  Extents const reduced{501, 389};

  EXPECT_EQ(scaled_box({10, 20, 300, 400}, full, full), (CropBox{10, 20, 300, 400}));
  EXPECT_EQ(scaled_box({0, 0, 1001, 777}, full, reduced), (CropBox{0, 0, 501, 389}));
  EXPECT_EQ(scaled_box({1000, 776, 1, 1}, full, reduced), (CropBox{500, 388, 1, 1}));
  auto const box = scaled_box({701, 377, 300, 400}, full, reduced);
  EXPECT_LE(box.top + box.height, 501);
  EXPECT_LE(box.left + box.width, 389);
}

}  // namespace
}  // namespace dino
