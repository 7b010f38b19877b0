// SPDX-License-Identifier: Apache-2.0
#include "data/evaluation_images.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "data/augment.hpp"
#include "test_shards.hpp"

namespace dino {
namespace {

EvaluationTransform small_transform() {
  EvaluationTransform transform;
  transform.resize_size = 20;
  transform.crop_size = 16;
  return transform;
}

TEST(EvaluationImages, AreTransformedInOrderByAnyNumberOfThreads) {
  auto const shards = io::ShardSet::open(test::write_shards("order", 9));

  auto const one = load_evaluation_images(shards, 2, 9, small_transform(), 1);
  auto const three = load_evaluation_images(shards, 2, 9, small_transform(), 3);

  EXPECT_EQ(one, three);
  ASSERT_EQ(one.size(), 7U * 3 * 16 * 16);
  Augmenter augmenter({0.485, 0.456, 0.406}, {0.229, 0.224, 0.225});
  auto const picture = io::decode_image(shards.read(5));
  augmenter.set_image({picture.pixels.data(), picture.width, picture.height});
  std::vector<float> expected(3 * 16 * 16);
  augmenter.make_evaluation_view(20, 16, expected.data());
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), one.begin() + 3 * 3 * 16 * 16));
}

TEST(EvaluationImages, AreNoneOfAnEmptyRange) {
  auto const shards = io::ShardSet::open(test::write_shards("none", 2));
  EXPECT_TRUE(load_evaluation_images(shards, 1, 1, small_transform(), 2).empty());
}

TEST(EvaluationImages, NameTheBadImage) {
  auto const shards = io::ShardSet::open(test::write_shards("bad", 6, {4}));
  try {
    load_evaluation_images(shards, 0, 6, small_transform(), 2);
    FAIL();
  } catch (Error const& error) {
    EXPECT_EQ(error.code(), ExitCode::input);
    EXPECT_NE(std::string(error.what()).find("image 4 (bad/part1.h5)"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace dino
