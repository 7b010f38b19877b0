// SPDX-License-Identifier: Apache-2.0
// Micro-batches come to the space under test as the loader makes them, in the memory that
// `dino plan` counts.
#include "train/student_feed.hpp"

#include <gtest/gtest.h>

#include "train/plan.hpp"
#include "unit/data/test_shards.hpp"
#include "unit/kernels/kernel_test.hpp"

namespace dino::train {
namespace {

constexpr std::int64_t images = 23, batch_size = 5, micro_batch = 2, steps = 4;

Space space_under_test() {
  if (!test::device_wanted()) return Host{};
  static Space const device = device_space(find_devices().devices.at(0).ordinal, {});
  return device;
}

Config small(std::string const& method, std::string const& augment_device) {
  Config config;
  config.method = method;
  config.run.device = test::device_wanted() ? "cuda" : "host";
  config.run.micro_batch = micro_batch;
  config.data.batch_size = batch_size;
  config.data.augment_device = augment_device;
  config.data.decoded_mib = 1;
  config.crops.global_size = 32;
  config.crops.local_size = 16;
  config.crops.local_count = 3;
  config.student.patch_size = 8;
  config.student.embed_dim = 48;
  config.student.depth = 2;
  config.student.num_heads = 3;
  config.dino.out_dim = config.ibot.out_dim = 30;
  if (method == "dinov3") {
    config.gram.use_loss = true;
    config.crops.gram_teacher_crops_size = 48;
  }
  return config;
}

/// As a step that holds so many micro-batches at a time does.
struct Step {
  std::int64_t held = 1;
  std::vector<StepBatch> batches;
  StepBatch const& take(StudentFeed& feed) {
    if (std::ssize(batches) == held) batches.clear();
    return batches.emplace_back(feed.next());
  }
};

std::vector<float> values_of(ImageView const& group) {
  std::vector<float> values(static_cast<std::size_t>(group.size()));
  copy_to_host(space_under_test(), std::span(values), group);
  return values;
}

std::vector<float> values_of(CropGroup const& group) {
  return {group.pixels.begin(), group.pixels.end()};
}

void expect_loaders_batches(Config const& config) {
  auto const shards = io::ShardSet::open(test::write_shards("feed", images));
  auto const slice = rank_slice(Communicator::self(), batch_size, micro_batch);
  auto const parts = slice.micro_batches;
  Loader reference(shards, {.data = config.data,
                            .crops = config.crops,
                            .seed = config.run.seed,
                            .slice = slice,
                            .first_step = 1,
                            .patch_size = config.student.patch_size});
  StudentFeed feed(space_under_test(), Communicator::self(), shards, {}, config, 1);
  auto const masks = make_masks(config, config.crops.global_size);
  Step step{.held = config.method == "dinov1" ? 1 : parts, .batches = {}};
  for (std::int64_t i = 0; i < steps * parts; ++i) {
    auto const expected = reference.next();

    auto const& views = step.take(feed).views;

    ASSERT_EQ(views.images, expected.images);
    EXPECT_EQ(values_of(views.global), values_of(expected.global)) << "micro-batch " << i;
    EXPECT_EQ(values_of(views.local), values_of(expected.local)) << "micro-batch " << i;
    EXPECT_EQ(values_of(views.gram), values_of(expected.gram)) << "micro-batch " << i;
    EXPECT_EQ(feed.global_size(), 32);
    if (!masks) continue;
    EXPECT_EQ(views.masks->masks, masks->masks(1 + i / parts, views.first, views.images).masks);
  }
  EXPECT_EQ(feed.uploads().bytes(), plan_memory(config, 1).crops_bytes);
}

TEST(StudentFeed, BringsTheLoadersCropsInTheMemoryThatIsPlanned) {
  for (std::string const method : {"dinov1", "dinov2", "dinov3"}) {
    for (std::string const augment_device : {"host", "cuda"}) {
      SCOPED_TRACE(method + ", " + augment_device);
      expect_loaders_batches(small(method, augment_device));
    }
  }
}

TEST(StudentFeed, TakesItsMemoryOnceForCropsOfAnySize) {
  auto config = small("dinov3", "host");
  config.crops.gram_teacher_crops_size.reset();
  config.crops.pairs = {.global_size = {32, 48},
                        .local_size = {16, 24},
                        .gram_teacher_crops_size = {48, 32},
                        .ratio = {0.5, 0.5}};
  for (std::string const augment_device : {"host", "cuda"}) {
    config.data.augment_device = augment_device;
    auto const shards = io::ShardSet::open(test::write_shards("feed", images));
    auto const slice = rank_slice(Communicator::self(), batch_size, micro_batch);
    StudentFeed feed(space_under_test(), Communicator::self(), shards, {}, config, 0);
    Step step{.held = slice.micro_batches, .batches = {}};

    for (std::int64_t i = 0; i < 12 * slice.micro_batches; ++i) {
      step.take(feed);
      feed.poll();
    }

    EXPECT_EQ(feed.uploads().bytes(), plan_memory(config, 1).crops_bytes) << augment_device;
  }
}

}  // namespace
}  // namespace dino::train
