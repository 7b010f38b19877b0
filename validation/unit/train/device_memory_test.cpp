// SPDX-License-Identifier: Apache-2.0
#include "train/device_memory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

using namespace dino;
using namespace dino::train;

namespace {

Config small(std::string const& method) {
  Config config;
  config.method = method;
  config.data.batch_size = 24;
  config.run.micro_batch = 8;
  config.crops.global_size = 32;
  config.crops.local_size = 16;
  config.crops.local_count = 3;
  config.student.patch_size = 8;
  config.student.embed_dim = 48;
  config.student.depth = 2;
  config.student.num_heads = 3;
  config.dino.out_dim = 64;
  config.dino.hidden_dim = 64;
  config.dino.bottleneck_dim = 32;
  return config;
}

Space device_to_be(Tally& tally) {
  return Dry{&tally, Processor::cuda};
}

TEST(PlannedMemory, HasTheCropsOfADevice) {
  Tally tally;
  std::int64_t const of_image = 3 * 4 * (2 * 32 * 32 + 3 * 16 * 16);

  EXPECT_EQ(planned_on(Dry{&tally}, small("dinov1"), 1, 0).crops_bytes, 0);
  EXPECT_EQ(planned_on(device_to_be(tally), small("dinov1"), 1, 0).crops_bytes, 16 * of_image);
  EXPECT_EQ(planned_on(device_to_be(tally), small("dinov2"), 1, 0).crops_bytes, 32 * of_image);
}

TEST(PlannedMemory, IsTheSumOfItsParts) {
  Tally tally;
  auto const memory = planned_on(device_to_be(tally), small("dinov2"), 2, 0);

  std::int64_t sum = 0;
  for (auto const& [name, bytes] : parts_of(memory)) sum += bytes;
  EXPECT_EQ(sum, memory.total_bytes());
}

TEST(LackOfMemory, NamesTheRanksOnTheDeviceAndAChangeThatFits) {
  Tally tally;
  auto config = small("dinov1");
  auto const planned = [&] { return planned_on(device_to_be(tally), config, 2, 0); };
  auto const memory = planned();
  auto const all = memory.total_bytes();
  DeviceShare const share{.ranks = 2, .planned = 2 * all, .free = 2 * all - 2, .total = 4 * all};

  auto const text = lack_of_memory(config, share, memory, 2, 0);

  EXPECT_THAT(text, testing::HasSubstr("planned by the 2 ranks on it"));
  EXPECT_THAT(text, testing::HasSubstr("activations and scratch"));
  std::string const words = "Enough would be: run.micro_batch=";
  auto const at = text.find(words);
  ASSERT_NE(at, std::string::npos) << text;
  config.run.micro_batch = std::stoll(text.substr(at + words.size()));
  EXPECT_LE(2 * planned().total_bytes(), share.free);
}

TEST(LackOfMemory, SaysSoWhereNothingHelps) {
  Tally tally;
  auto const config = small("dinov1");
  auto const memory = planned_on(device_to_be(tally), config, 1, 0);

  EXPECT_THAT(lack_of_memory(config, {.planned = memory.total_bytes(), .free = 1}, memory, 1, 0),
              testing::HasSubstr("Take devices with more memory"));
}

TEST(DeviceMemory, OfTheHostIsNotLookedAt) {
  EXPECT_FALSE(require_device_memory(Communicator::self(), Host{}, small("dinov1")).has_value());
}

}  // namespace
