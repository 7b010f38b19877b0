// SPDX-License-Identifier: Apache-2.0
// Global crops at two sizes: the student's, and the Gram teacher's.
#include <gtest/gtest.h>

#include "data/augment.hpp"
#include "data/loader.hpp"
#include "test_images.hpp"
#include "test_shards.hpp"

namespace dino {
namespace {

constexpr std::array<double, 3> mean{0.485, 0.456, 0.406}, deviation{0.229, 0.224, 0.225};

/// A view with all distortions.
DrawnView distorted() {
  return {.box = {3, 5, 40, 44},
          .flip = Flip::yes,
          .jitter = ColorJitter{.brightness = 1.2, .contrast = 0.8, .saturation = 1.1, .hue = 0.05},
          .blur_radius = 1.1,
          .solarize = true};
}

DrawnView undistorted() {
  return {.box = {3, 5, 40, 44}, .flip = Flip::yes};
}

std::vector<float> pixels(int size) {
  return std::vector<float>(static_cast<std::size_t>(3 * size * size));
}

/// One size alone.
std::vector<float> one(Augmenter& augmenter, DrawnView const& view, int size) {
  auto out = pixels(size);
  augmenter.make_view(view, size, out.data());
  return out;
}

struct Two {
  std::vector<float> first, second;
};
Two two(Augmenter& augmenter, DrawnView const& view, int first, int second,
        Distortions distortions) {
  Two out{pixels(first), pixels(second)};
  augmenter.make_two_views(view, {first, out.first.data()}, {second, out.second.data()},
                           distortions);
  return out;
}

class TwoViews : public testing::Test {
 protected:
  TwoViews() : augmenter_(mean, deviation) { augmenter_.set_image(image_.view()); }
  test::NoiseImage image_{60, 70};
  Augmenter augmenter_;
};

TEST_F(TwoViews, OfOneSizeAreTheViewAlone) {
  auto const alone = one(augmenter_, distorted(), 32);

  auto const both = two(augmenter_, distorted(), 32, 32, Distortions::both);
  auto const first = two(augmenter_, distorted(), 32, 32, Distortions::first);

  EXPECT_EQ(both.first, alone);
  EXPECT_EQ(both.second, alone);
  EXPECT_EQ(first.first, alone);
  EXPECT_EQ(first.second, one(augmenter_, undistorted(), 32));
}

TEST_F(TwoViews, AreDistortedAtTheLargerSizeAndResizedAsNumbers) {
  auto const larger = one(augmenter_, distorted(), 48);

  auto const views = two(augmenter_, distorted(), 32, 48, Distortions::both);

  EXPECT_EQ(views.second, larger);
  EXPECT_EQ(views.first, resize_float(larger, 3, 48, 32, Interpolation::bicubic));
}

TEST_F(TwoViews, AreResizedAsPicturesBeforeTheFirstIsDistorted) {
  auto const larger = one(augmenter_, undistorted(), 48);
  auto const picture = augmenter_.picture().interleaved();
  Augmenter of_crop(mean, deviation);
  of_crop.set_image({picture.data(), 48, 48});
  auto view = distorted();
  view.box = {0, 0, 48, 48};
  view.flip = Flip::no;

  auto const views = two(augmenter_, distorted(), 32, 48, Distortions::first);

  EXPECT_EQ(views.second, larger);
  EXPECT_EQ(views.first, one(of_crop, view, 32));
}

TEST(LoaderGramCrops, BelongToTheGlobalCrops) {
  auto const shards = io::ShardSet::open(test::write_shards("gram", 8));
  Loader::Options options;
  options.data.batch_size = 4;
  options.crops.global_size = 16;
  options.crops.local_size = 8;
  options.crops.local_count = 1;
  options.slice = {.begin = 0, .end = 4, .micro_batches = 1};
  auto const without = Loader(shards, options).next();
  options.crops.gram_teacher_crops_size = 16;

  auto const with = Loader(shards, options).next();

  EXPECT_EQ(without.gram.count, 0);
  EXPECT_EQ(with.global.pixels, without.global.pixels);
  EXPECT_EQ(with.local.pixels, without.local.pixels);
  EXPECT_EQ(with.gram.pixels, with.global.pixels);
}

}  // namespace
}  // namespace dino
