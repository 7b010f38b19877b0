// SPDX-License-Identifier: Apache-2.0
#include "data/loader.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "base/error.hpp"
#include "data/augment.hpp"
#include "data/loader_figure.hpp"
#include "test_shards.hpp"

namespace dino {
namespace {

constexpr std::int64_t images = 23;

Loader::Options small_options() {
  Loader::Options options;
  options.data.batch_size = 6;
  options.data.block = 4;
  options.data.window = 2;
  options.data.workers = 2;
  options.crops.global_size = 16;
  options.crops.local_size = 8;
  options.crops.local_count = 3;
  options.seed = 11;
  options.slice = {.begin = 0, .end = 6, .micro_batches = 1};
  return options;
}

std::vector<float> slab(CropGroup const& group, std::int64_t batch_images, std::int64_t crop,
                        std::int64_t image) {
  std::int64_t const size = 3 * group.size * group.size;
  auto const begin = group.pixels.begin() + (crop * batch_images + image) * size;
  return {begin, begin + size};
}

/// The crops of `steps` steps by global position: global ones, then local ones.
using Crops = std::map<std::int64_t, std::vector<std::vector<float>>>;
void collect(Loader& loader, std::int64_t micro_batches, Crops& crops) {
  for (std::int64_t i = 0; i < micro_batches; ++i) {
    CropBatch batch = loader.next();
    for (std::int64_t k = 0; k < batch.images; ++k) {
      auto& all = crops[batch.positions.at(static_cast<std::size_t>(k))];
      for (std::int64_t c = 0; c < batch.global.count; ++c)
        all.push_back(slab(batch.global, batch.images, c, k));
      for (std::int64_t c = 0; c < batch.local.count; ++c)
        all.push_back(slab(batch.local, batch.images, c, k));
    }
    loader.recycle(std::move(batch));
  }
}

TEST(Loader, GivesTheSameCropsForAnySlicesMicroBatchesAndWorkers) {
  auto const shards = io::ShardSet::open(test::write_shards("same", images));
  Crops whole;
  Loader reference(shards, small_options());
  collect(reference, 7, whole);
  ASSERT_EQ(whole.size(), 42U);  // over two epochs of three steps

  Crops parts;
  for (auto const& [begin, end] : {std::pair{0, 2}, std::pair{2, 6}}) {
    auto options = small_options();
    options.slice = {.begin = begin, .end = end, .micro_batches = 3};
    options.data.workers = 1 + begin;
    options.data.prefetch = 1 + begin;
    Loader loader(shards, options);
    collect(loader, 21, parts);
  }

  EXPECT_EQ(parts, whole);
}

TEST(Loader, ContinuesAtAStep) {
  auto const shards = io::ShardSet::open(test::write_shards("resume", images));
  auto options = small_options();
  Crops whole;
  Loader reference(shards, options);
  collect(reference, 6, whole);
  whole.erase(whole.begin(), whole.lower_bound(4 * 6));

  options.first_step = 4;
  Loader loader(shards, options);
  Crops rest;
  collect(loader, 2, rest);

  EXPECT_EQ(rest, whole);
}

TEST(Loader, MakesTheViewsOfTheImagesOfTheOrder) {
  auto const shards = io::ShardSet::open(test::write_shards("views", images));
  auto const options = small_options();
  Loader loader(shards, options);
  SampleOrder const order(images, 6, options.seed, 4, 2);
  loader.next();

  CropBatch const batch = loader.next();  // step 1

  EXPECT_EQ(batch.first_position, 6);
  ASSERT_EQ(batch.images, 6);
  auto const picture = io::decode_image(shards.read(order.index(1, 2)));
  Augmenter augmenter(options.crops.mean, options.crops.std);
  augmenter.set_image({picture.pixels.data(), picture.width, picture.height});
  std::vector<float> expected(3 * 8 * 8);
  auto const view = draw_view(options.crops, 11, 6 + 2, 3, augmenter.extents());
  augmenter.make_view(view, 8, expected.data());
  EXPECT_EQ(slab(batch.local, 6, 1, 2), expected);
}

TEST(Loader, LeavesMicroBatchesEmptyWhereImagesRunOut) {
  auto const shards = io::ShardSet::open(test::write_shards("empty", images));
  auto options = small_options();
  options.slice = {.begin = 2, .end = 3, .micro_batches = 2};
  Loader loader(shards, options);

  std::int64_t total = 0;
  for (int i = 0; i < 4; ++i) total += loader.next().images;

  EXPECT_EQ(total, 2);
}

TEST(Loader, ReplacesABadImageByTheNextOneAndCountsIt) {
  auto const good = io::ShardSet::open(test::write_shards("good", images));
  auto const bad = io::ShardSet::open(test::write_shards("bad", images, {5, 6, 22}));
  auto const options = small_options();
  Loader reference(good, options);
  Loader loader(bad, options);
  SampleOrder const order(images, 6, options.seed, 4, 2);

  Crops expected;
  Crops actual;
  collect(reference, 3, expected);
  collect(loader, 3, actual);

  std::int64_t met = 0;
  for (std::int64_t position = 0; position < 18; ++position) {
    std::int64_t const index = order.permuted(0, position);
    std::int64_t const stand_in = index == 5 || index == 6 ? 7 : (index == 22 ? 0 : index);
    met += index != stand_in ? 1 : 0;
    if (index == stand_in) {
      EXPECT_EQ(actual[position], expected[position]) << "image " << index;
      continue;
    }
    auto const picture = io::decode_image(bad.read(stand_in));
    Augmenter augmenter(options.crops.mean, options.crops.std);
    augmenter.set_image({picture.pixels.data(), picture.width, picture.height});
    std::vector<float> crop(3 * 16 * 16);
    augmenter.make_view(draw_view(options.crops, 11, position, 0, augmenter.extents()), 16,
                        crop.data());
    EXPECT_EQ(actual[position][0], crop) << "image " << index;
  }
  EXPECT_GE(loader.images_skipped(), met);  // image 6 may also be met as the neighbour of image 5
  EXPECT_GT(met, 0);
  EXPECT_LE(loader.images_skipped(), 3);
  EXPECT_EQ(reference.images_skipped(), 0);
}

TEST(Loader, EndsWhereMostImagesAreBad) {
  std::vector<std::int64_t> bad(20);
  for (std::size_t i = 0; i < bad.size(); ++i) bad[i] = static_cast<std::int64_t>(i);
  auto const shards = io::ShardSet::open(test::write_shards("rotten", images, bad));
  Loader loader(shards, small_options());

  try {
    for (int i = 0; i < 3; ++i) loader.next();
    FAIL();
  } catch (Error const& error) {
    EXPECT_EQ(error.code(), ExitCode::input);
    EXPECT_NE(std::string(error.what()).find("of the 6 images"), std::string::npos) << error.what();
  }
}

TEST(Loader, PassesOnThatNoImageIsReadable) {
  std::vector<std::int64_t> bad(images);
  for (std::size_t i = 0; i < bad.size(); ++i) bad[i] = static_cast<std::int64_t>(i);
  auto const shards = io::ShardSet::open(test::write_shards("dead", images, bad));
  Loader loader(shards, small_options());

  EXPECT_THROW(loader.next(), Error);
}

TEST(Loader, StopsWhileItsThreadsWork) {
  auto const shards = io::ShardSet::open(test::write_shards("stop", images));
  auto options = small_options();
  options.data.prefetch = 3;
  for (int i = 0; i < 20; ++i) {
    Loader loader(shards, options);
    if (i % 2 == 0) loader.next();
    Loader const moved = std::move(loader);
  }
}

TEST(Loader, RefusesMoreImagesPerBatchThanThereAre) {
  auto const shards = io::ShardSet::open(test::write_shards("few", 3));
  EXPECT_THROW(Loader(shards, small_options()), Error);
}

TEST(LoaderFigure, CountsImages) {
  auto const shards = io::ShardSet::open(test::write_shards("figure", images));
  Config config;
  config.crops = small_options().crops;

  auto const figure = measure_loader(shards, config, 1, 0.01);

  EXPECT_GE(figure.images, images);
  EXPECT_GT(figure.images_per_second_core, 0);
  EXPECT_GE(measure_loader(shards, config, 1, 0.01, Deliver::pictures).images, images);
}

}  // namespace
}  // namespace dino
