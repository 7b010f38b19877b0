// SPDX-License-Identifier: Apache-2.0
// Crops made of decoded pictures on the space under test are those of the loader's threads, bit for
// bit.
#include "data/device_crops.hpp"

#include <gtest/gtest.h>

#include <map>

#include "base/error.hpp"
#include "test_shards.hpp"
#include "unit/kernels/kernel_test.hpp"

namespace dino {
namespace {

constexpr std::int64_t images = 11, batch_size = 5, steps = 4;

Space space_under_test() {
  if (!test::device_wanted()) return Host{};
  static Space const device = device_space(find_devices().devices.at(0).ordinal, {});
  return device;
}

Loader::Options small_options() {
  Loader::Options options;
  options.data.batch_size = batch_size;
  options.data.block = 4;
  options.data.window = 2;
  options.data.workers = 2;
  options.crops.global_size = 33;  // a tile of the device and one more
  options.crops.local_size = 16;
  options.crops.local_count = 3;
  options.crops.blur_probability = {0.7, 0.5, 0.5};
  options.crops.solarize_probability = 0.5;
  options.seed = 11;
  options.patch_size = 4;
  options.slice = {.begin = 0, .end = batch_size, .micro_batches = 2};
  return options;
}

using Groups = std::array<std::vector<float>, 3>;

Groups groups_of(CropBatch const& batch) {
  auto const values = [](CropGroup const& group) {
    return std::vector<float>(group.pixels.begin(), group.pixels.end());
  };
  return {values(batch.global), values(batch.local), values(batch.gram)};
}

/// The crops that the space makes of a batch, which DeviceCrops has begun with.
Groups made_of(DeviceCrops& crops, CropBatch const& batch) {
  auto const space = space_under_test();
  auto const places = DeviceCrops::places(batch);
  Buffer const memory(space, places.end * static_cast<std::int64_t>(sizeof(float)));
  crops.make(memory.as<float>());
  Groups groups;
  std::array const begins{places.global, places.local, places.gram};
  std::array const all{&batch.global, &batch.local, &batch.gram};
  for (std::size_t i = 0; i < 3; ++i) {
    auto const size = all[i]->count * batch.images * 3 * all[i]->size * all[i]->size;
    groups[i].resize(static_cast<std::size_t>(size));
    auto const there = memory.as<float>(begins[i] * static_cast<std::int64_t>(sizeof(float)), size);
    copy_to_host(space, std::span(groups[i]), View<float const, 1>(there));
  }
  return groups;
}

/// Compares the crops of some steps, with the next batch's pictures on their way while one is made.
void expect_equal_crops(Loader::Options options, std::int64_t decoded_bytes) {
  auto const shards = io::ShardSet::open(test::write_shards("device_crops", images, {3}));
  Loader reference(shards, options);
  options.deliver = Deliver::pictures;
  options.memory = upload_memory(space_under_test());
  Loader loader(shards, options);
  DeviceCrops crops(space_under_test(), {options.crops, 3, decoded_bytes});
  auto batch = std::make_unique<CropBatch>(loader.next());
  crops.start(*batch);
  for (std::int64_t i = 0; i < 2 * steps; ++i) {
    auto const expected = reference.next();

    auto const made = made_of(crops, *batch);
    auto next = std::make_unique<CropBatch>(loader.next());
    crops.start(*next);
    crops.wait(*batch);

    EXPECT_EQ(made, groups_of(expected)) << "micro-batch " << i;
    EXPECT_EQ(batch->positions, expected.positions);
    EXPECT_TRUE(batch->global.pixels.empty());
    loader.recycle(std::move(*batch));
    batch = std::move(next);
  }
}

constexpr std::int64_t plenty = 1 << 20;

TEST(DeviceCrops, AreThoseOfTheLoader) {
  expect_equal_crops(small_options(), plenty);
}

TEST(DeviceCrops, AreTheSameHoweverFewPicturesFitAtATime) {
  expect_equal_crops(small_options(), 24 << 10);
}

TEST(DeviceCrops, AreTheSameWithAGaussianBlur) {
  auto options = small_options();
  options.crops.blur = "gaussian";
  expect_equal_crops(options, plenty);
}

TEST(DeviceCrops, AreTheSameWithColoursThatAllShare) {
  auto options = small_options();
  options.crops.share_color_jitter = true;
  expect_equal_crops(options, 24 << 10);
}

TEST(DeviceCrops, AreTheSameWhereLocalOnesAreWindowsOfGlobalOnes) {
  auto options = small_options();
  options.crops.localcrops_subset_of_globalcrops = true;
  expect_equal_crops(options, plenty);
  options.crops.blur = "gaussian";
  options.crops.share_color_jitter = true;
  expect_equal_crops(options, plenty);
}

TEST(DeviceCrops, AreTheSameForAGramTeacher) {
  for (std::int64_t const size : {24, 33, 48}) {
    for (bool const plain : {false, true}) {
      SCOPED_TRACE(testing::Message() << size << (plain ? ", not distorted" : ", distorted"));
      auto options = small_options();
      options.crops.gram_teacher_crops_size = size;
      options.crops.gram_teacher_no_distortions = plain;
      options.crops.blur = size == 48 ? "gaussian" : "pillow";
      expect_equal_crops(options, plenty);
    }
  }
}

TEST(DeviceCrops, AreTheSameInSeveralSizes) {
  auto options = small_options();
  options.crops.pairs = {.global_size = {24, 33},
                         .local_size = {16, 8},
                         .gram_teacher_crops_size = {32, 24},
                         .ratio = {0.5, 0.5}};
  expect_equal_crops(options, plenty);
}

TEST(DeviceCrops, AreTheSameOfReducedJpegs) {
  auto options = small_options();
  options.data.dct_scaling = true;
  options.crops.global_size = 12;
  options.crops.local_size = 8;
  options.crops.global_scale = {0.9, 1.0};
  options.crops.local_scale = {0.9, 1.0};
  expect_equal_crops(options, plenty);
}

TEST(DeviceCrops, RefuseAnImageThatIsTooLarge) {
  auto options = small_options();
  options.deliver = Deliver::pictures;
  auto const shards = io::ShardSet::open(test::write_shards("too_large", images));
  Loader loader(shards, options);
  auto const batch = loader.next();
  DeviceCrops crops(space_under_test(), {options.crops, 3, 4096});

  auto const text = test::refusal([&] { crops.start(batch); });

  EXPECT_NE(text.find("pixels needs 1 MiB on the device to be cut there"), std::string::npos)
      << text;
}

}  // namespace
}  // namespace dino
