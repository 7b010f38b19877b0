// SPDX-License-Identifier: Apache-2.0
// Colours that all crops of an image share, and local crops that are windows of global ones.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "data/augment.hpp"
#include "data/loader.hpp"
#include "test_shards.hpp"

namespace dino {
namespace {

constexpr std::int64_t seed = 11, images = 8, global = 32, local = 16, patch = 4;

Loader::Options small_options() {
  Loader::Options options;
  options.data.batch_size = images;
  options.crops.global_size = global;
  options.crops.local_size = local;
  options.crops.local_count = 4;
  options.crops.jitter_probability = 0.7;
  options.crops.gray_probability = 0.3;
  options.crops.blur = "gaussian";
  options.crops.blur_probability = {0.5, 0.5, 0.5};
  options.seed = seed;
  options.patch_size = patch;
  options.slice = {.begin = 0, .end = images, .micro_batches = 1};
  return options;
}

std::vector<float> slab(CropGroup const& group, std::int64_t crop, std::int64_t image) {
  std::int64_t const size = 3 * group.size * group.size;
  auto const begin = group.pixels.begin() + (crop * images + image) * size;
  return {begin, begin + size};
}

std::vector<float> pixels(std::int64_t size) {
  return std::vector<float>(static_cast<std::size_t>(3 * size * size));
}

/// The part of a crop that a window shows.
std::vector<float> part(std::vector<float> const& crop, std::int64_t size, WindowPlace place,
                        std::int64_t side) {
  std::vector<float> out;
  for (std::int64_t row = 0; row < 3 * side; ++row) {
    auto const begin =
        crop.begin() + (row / side * size + place.top + row % side) * size + place.left;
    out.insert(out.end(), begin, begin + side);
  }
  return out;
}

class CropOptions : public testing::Test {
 protected:
  /// The picture of the sample at a position of the first step.
  io::Image picture(Loader::Options const& o, std::int64_t position) const {
    SampleOrder const order(images, images, seed, o.data.block, o.data.window);
    return io::decode_image(shards_.read(order.index(0, position)));
  }
  io::ShardSet shards_ = io::ShardSet::open(test::write_shards("crop_options", images));
};

TEST(SharedColours, AreDrawnOncePerImageWithTheirProbabilities) {
  config::Crops crops;
  crops.share_color_jitter = true;
  int jittered = 0, gray = 0;
  constexpr int n = 8000;
  for (int i = 0; i < n; ++i) {
    auto const colours = draw_shared_colours(crops, 9, i);
    jittered += colours.jitter ? 1 : 0;
    gray += colours.gray ? 1 : 0;
    auto const view = draw_view(crops, 9, i, i % 10, {40, 50});
    EXPECT_FALSE(view.jitter || view.gray);
  }
  EXPECT_NEAR(jittered, 0.8 * n, 5 * std::sqrt(n * 0.16));
  EXPECT_NEAR(gray, 0.2 * n, 5 * std::sqrt(n * 0.16));
}

TEST(SharedColours, LeaveTheOtherDrawsAsTheyWere) {
  config::Crops crops;
  for (int i = 0; i < 100; ++i) {
    crops.share_color_jitter = false;
    auto const apart = draw_view(crops, 9, i, i % 3, {40, 50});
    crops.share_color_jitter = true;
    auto const shared = draw_view(crops, 9, i, i % 3, {40, 50});
    EXPECT_EQ(shared.box, apart.box);
    EXPECT_EQ(shared.flip, apart.flip);
    EXPECT_EQ(shared.blur_radius, apart.blur_radius);
    EXPECT_EQ(shared.solarize, apart.solarize);
  }
}

// What the loader makes is what follows from a picture whose colours were changed by hand; the Gram
// teacher's crops, without distortions of their own, have these colours too.
TEST_F(CropOptions, ColoursAreChangedBeforeAllCropsAreCut) {
  auto options = small_options();
  options.crops.share_color_jitter = true;
  options.crops.gram_teacher_crops_size = global;
  options.crops.gram_teacher_no_distortions = true;
  auto const batch = Loader(shards_, options).next();
  int changed = 0;
  for (std::int64_t i = 0; i < images; ++i) {
    auto const source = picture(options, i);
    Planes planes(RgbView{source.pixels.data(), source.width, source.height});
    auto const colours = draw_shared_colours(options.crops, seed, i);
    if (colours.jitter) color_jitter(planes, *colours.jitter);
    if (colours.gray) grayscale(planes);
    auto const by_hand = planes.interleaved();
    changed += by_hand != source.pixels ? 1 : 0;
    Augmenter augmenter(options.crops.mean, options.crops.std);
    augmenter.set_image({by_hand.data(), source.width, source.height});
    for (int crop = 0; crop < 6; ++crop) {
      auto const view = draw_view(options.crops, seed, i, crop, augmenter.extents());
      auto expected = pixels(crop < 2 ? global : local);
      augmenter.make_view(view, crop < 2 ? global : local, expected.data());
      EXPECT_EQ(crop < 2 ? slab(batch.global, crop, i) : slab(batch.local, crop - 2, i), expected)
          << "image " << i << ", crop " << crop;
      if (crop >= 2) continue;
      augmenter.make_view({.box = view.box, .flip = view.flip}, global, expected.data());
      EXPECT_EQ(slab(batch.gram, crop, i), expected) << "image " << i << ", crop " << crop;
    }
  }
  EXPECT_GT(changed, 2);
  EXPECT_LT(changed, images);  // some pictures keep theirs
}

TEST(Windows, LieOnThePatchGridAndNeverAtItsLastPlace) {
  std::set<int> tops, lefts;
  int equal = 0;
  for (int i = 0; i < 1000; ++i) {
    auto const place = draw_window(5, i, 2 + i % 4, 49, 16, 8);  // (49 - 16) / 8 = 4 places
    tops.insert(place.top);
    lefts.insert(place.left);
    equal += place.top == place.left ? 1 : 0;
  }
  EXPECT_EQ(tops, (std::set<int>{0, 8, 16, 24}));
  EXPECT_EQ(lefts, tops);
  EXPECT_NEAR(equal, 250, 5 * std::sqrt(1000 * 0.1875));
  auto const only = draw_window(5, 1, 2, 24, 16, 8);
  EXPECT_EQ(only.top, 0);
  EXPECT_EQ(only.left, 0);
}

// Half of the local crops from each global crop before its colours change; their own colours and
// blur change that whole crop.
TEST_F(CropOptions, LocalCropsAreWindowsOfTheGlobalOnes) {
  auto options = small_options();
  auto const apart = Loader(shards_, options).next();
  options.crops.localcrops_subset_of_globalcrops = true;
  auto const batch = Loader(shards_, options).next();

  EXPECT_EQ(batch.global.pixels, apart.global.pixels);
  EXPECT_NE(batch.local.pixels, apart.local.pixels);
  for (std::int64_t i = 0; i < images; ++i) {
    auto const source = picture(options, i);
    Augmenter augmenter(options.crops.mean, options.crops.std);
    augmenter.set_image({source.pixels.data(), source.width, source.height});
    for (int crop = 2; crop < 6; ++crop) {
      auto const base = draw_view(options.crops, seed, i, crop < 4 ? 0 : 1, augmenter.extents());
      auto view = draw_view(options.crops, seed, i, crop, augmenter.extents());
      view.box = base.box;
      view.flip = base.flip;
      auto whole = pixels(global);
      augmenter.make_view(view, global, whole.data());

      auto const place = draw_window(seed, i, crop, global, local, patch);
      EXPECT_EQ(slab(batch.local, crop - 2, i), part(whole, global, place, local))
          << "image " << i << ", crop " << crop;
    }
  }
}

}  // namespace
}  // namespace dino
