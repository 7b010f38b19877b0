// SPDX-License-Identifier: Apache-2.0
#include "data/views.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace dino {
namespace {

constexpr Extents image{375, 500};

TEST(FallbackBox, IsTheLargestCentredOneOfAPermittedShape) {
  EXPECT_EQ(fallback_box({10, 100}), (CropBox{0, 43, 10, 13}));
  EXPECT_EQ(fallback_box({100, 10}), (CropBox{43, 0, 13, 10}));
  EXPECT_EQ(fallback_box({40, 41}), (CropBox{0, 0, 40, 41}));
  EXPECT_EQ(fallback_box({1, 1}), (CropBox{0, 0, 1, 1}));
}

TEST(RandomResizedCrop, LiesInsideAnyImage) {
  for (Extents const extents : {Extents{1, 1}, {1, 9}, {9, 1}, {2, 3}, {17, 16}, {5, 400}}) {
    Philox random(3, Purpose::test, 0);
    for (int i = 0; i < 500; ++i) {
      CropBox const box = random_resized_crop(random, extents, {0.05, 1.0});
      ASSERT_GE(box.top, 0);
      ASSERT_GE(box.left, 0);
      ASSERT_GE(box.height, 1);
      ASSERT_GE(box.width, 1);
      ASSERT_LE(box.top + box.height, extents.height);
      ASSERT_LE(box.left + box.width, extents.width);
    }
  }
}

// A square image and small scales accept every try, so that the moments are those of the
// distributions.
TEST(RandomResizedCrop, DrawsAreaUniformlyAndAspectLogUniformly) {
  constexpr int draws = 20000;
  Philox random(5, Purpose::test, 0);
  double area = 0;
  double aspect = 0;
  double aspect_squared = 0;
  double center = 0;
  for (int i = 0; i < draws; ++i) {
    CropBox const box = random_resized_crop(random, {2000, 2000}, {0.05, 0.4});
    double const log_aspect = std::log(static_cast<double>(box.width) / box.height);
    area += box.width * box.height / 4e6 / draws;
    aspect += log_aspect / draws;
    aspect_squared += log_aspect * log_aspect / draws;
    center += (box.left + box.width / 2.0) / 2000 / draws;
  }
  double const half_range = std::log(4.0 / 3.0);
  EXPECT_NEAR(area, 0.225, 5 * 0.35 / std::sqrt(12.0 * draws));
  EXPECT_NEAR(aspect, 0, 5 * half_range / std::sqrt(3.0 * draws));
  EXPECT_NEAR(aspect_squared, half_range * half_range / 3,
              5 * half_range * half_range * 0.3 / std::sqrt(draws));
  EXPECT_NEAR(center, 0.5, 5 * 0.2 / std::sqrt(draws));
}

TEST(DrawView, IsAPureFunctionOfSeedPositionAndCrop) {
  config::Crops const crops;
  auto const box = [&](std::uint64_t seed, std::int64_t position, int crop) {
    return draw_view(crops, seed, position, crop, image).box;
  };

  EXPECT_EQ(box(1, 70, 2), box(1, 70, 2));
  EXPECT_NE(box(1, 70, 2), box(2, 70, 2));
  EXPECT_NE(box(1, 70, 2), box(1, 71, 2));
  EXPECT_NE(box(1, 70, 2), box(1, 70, 3));
  EXPECT_NE(box(1, 70, 2), box(1, 70 + (std::int64_t{1} << 32), 2));
}

/// How often each step is drawn for crop `crop` in n views.
struct Counts {
  double flip = 0, jitter = 0, gray = 0, blur = 0, solarize = 0;
};
Counts count(int crop, int n) {
  Counts counts;
  for (int i = 0; i < n; ++i) {
    DrawnView const view = draw_view({}, 9, i, crop, image);
    counts.flip += view.flip == Flip::yes ? 1.0 / n : 0;
    counts.jitter += view.jitter ? 1.0 / n : 0;
    counts.gray += view.gray ? 1.0 / n : 0;
    counts.blur += view.blur_radius ? 1.0 / n : 0;
    counts.solarize += view.solarize ? 1.0 / n : 0;
  }
  return counts;
}

TEST(DrawView, AppliesStepsWithTheirProbabilities) {
  constexpr int n = 8000;
  double const bound = 5 * 0.5 / std::sqrt(n);
  std::vector<Counts> const counts{count(0, n), count(1, n), count(2, n)};
  for (auto const& c : counts) {
    EXPECT_NEAR(c.flip, 0.5, bound);
    EXPECT_NEAR(c.jitter, 0.8, bound);
    EXPECT_NEAR(c.gray, 0.2, bound);
  }
  EXPECT_EQ(std::lround(counts[0].blur * n), n);
  EXPECT_NEAR(counts[1].blur, 0.1, bound);
  EXPECT_NEAR(counts[2].blur, 0.5, bound);
  EXPECT_EQ(counts[0].solarize, 0);
  EXPECT_NEAR(counts[1].solarize, 0.2, bound);
  EXPECT_EQ(counts[2].solarize, 0);
}

TEST(DrawView, DrawsFactorsAndOrdersInTheirRanges) {
  std::array<std::array<int, 4>, 4> places{};
  int jittered = 0;
  for (int i = 0; i < 6000; ++i) {
    DrawnView const view = draw_view({}, 4, i, 5, image);
    if (view.blur_radius) {
      EXPECT_GE(*view.blur_radius, 0.1);
      EXPECT_LT(*view.blur_radius, 2.0);
    }
    if (!view.jitter) continue;
    ++jittered;
    EXPECT_LE(std::abs(view.jitter->brightness - 1), 0.4);
    EXPECT_LE(std::abs(view.jitter->contrast - 1), 0.4);
    EXPECT_LE(std::abs(view.jitter->saturation - 1), 0.2);
    EXPECT_LE(std::abs(view.jitter->hue), 0.1);
    for (std::size_t k = 0; k < 4; ++k)
      ++places[k][static_cast<std::size_t>(view.jitter->order[k])];
  }
  for (auto const& place : places) {
    for (int const n : place) EXPECT_NEAR(n, jittered / 4.0, 5 * std::sqrt(jittered * 0.1875));
  }
}

}  // namespace
}  // namespace dino
