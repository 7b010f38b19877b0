// SPDX-License-Identifier: Apache-2.0
#include "data/demo_world.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.hpp"
#include "support/checkpoint_fixture.hpp"

namespace dino {
namespace {

namespace fs = std::filesystem;

/// Empties a folder before any rank writes to it.
DemoWorldOptions options_for(Communicator const& world, std::string const& folder) {
  if (world.rank() == 0) fs::remove_all(folder);
  world.barrier();
  return {.out = folder, .train_images = 31, .test_images = 9, .size = 48, .images_per_shard = 7};
}

TEST(DemoWorldOnRanks, WritesTheBytesOfOneRank) {
  auto const world = Communicator::world();
  auto const together = write_demo_world(world, options_for(world, "together"));
  auto const alone_options = options_for(world, "alone");
  if (world.rank() == 0) write_demo_world(Communicator::self(), alone_options);
  world.barrier();

  EXPECT_EQ(together.shards, 7);
  EXPECT_EQ(together.written, 7);
  std::int64_t bytes = 0;
  for (std::string const name :
       {"train/shard_00000.h5", "train/shard_00001.h5", "train/shard_00002.h5",
        "train/shard_00003.h5", "train/shard_00004.h5", "test/shard_00000.h5",
        "test/shard_00001.h5"}) {
    auto const written = test::file_bytes("together/" + name);
    EXPECT_FALSE(written.empty()) << name;
    EXPECT_EQ(written, test::file_bytes("alone/" + name)) << name;
    bytes += static_cast<std::int64_t>(written.size());
  }
  EXPECT_EQ(together.bytes, bytes);
}

TEST(DemoWorldOnRanks, FinishesWhatAnotherNumberOfRanksBegan) {
  auto const world = Communicator::world();
  auto const options = options_for(world, "begun");
  if (world.rank() == 0) {
    write_demo_world(Communicator::self(), options);
    fs::remove("begun/train/shard_00003.h5");
    fs::remove("begun/test/shard_00000.h5");
  }
  world.barrier();

  EXPECT_EQ(write_demo_world(world, options).written, 2);
  EXPECT_EQ(write_demo_world(world, options).written, 0);
}

TEST(DemoWorldOnRanks, RefusesOnEveryRank) {
  auto const world = Communicator::world();
  auto options = options_for(world, "refused");
  write_demo_world(world, options);
  options.seed = 1;

  EXPECT_THROW(write_demo_world(world, options), Error);
}

}  // namespace
}  // namespace dino
