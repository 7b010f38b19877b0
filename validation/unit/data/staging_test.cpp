// SPDX-License-Identifier: Apache-2.0
#include "data/staging.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.hpp"
#include "test_shards.hpp"

namespace dino {
namespace {

namespace fs = std::filesystem;

/// Shards written by rank 0, opened by all.
io::ShardSet shards_of_all(Communicator const& world, std::string const& folder) {
  if (world.rank() == 0) {
    test::write_shards(folder, 7);
    fs::remove_all(folder + "_local");
  }
  world.barrier();
  return io::ShardSet::open(folder);
}

TEST(Staging, CopiesTheFilesAndReadsTheSameImages) {
  auto const world = Communicator::world();
  auto const shards = shards_of_all(world, "copy");

  auto const staged = stage_shards(world, shards, "copy_local/deep");

  ASSERT_EQ(staged.size(), 7);
  EXPECT_EQ(staged.files().front(), "copy_local/deep/part0.h5");
  EXPECT_EQ(staged.read(6), shards.read(6));
  EXPECT_EQ(std::distance(fs::directory_iterator("copy_local/deep"), {}), 2);
}

TEST(Staging, LeavesCompleteFilesAndReplacesOthers) {
  auto const world = Communicator::world();
  auto const shards = shards_of_all(world, "again");
  stage_shards(world, shards, "again_local");
  if (world.rank() == 0) {
    std::ofstream("again_local/part0.h5", std::ios::app) << "longer";
    std::ofstream("again_local/part1.h5.unfinished-1-1") << "of a run that was killed";
  }
  world.barrier();

  auto const staged = stage_shards(world, shards, "again_local");

  EXPECT_EQ(fs::file_size("again_local/part0.h5"), fs::file_size("again/part0.h5"));
  EXPECT_EQ(staged.read(0), shards.read(0));
}

TEST(Staging, FailsOnEveryRankWhereTheFolderCannotBeMade) {
  auto const world = Communicator::world();
  auto const shards = shards_of_all(world, "refuse");
  if (world.rank() == 0) std::ofstream("refuse_local") << "a file";
  world.barrier();

  EXPECT_THROW(stage_shards(world, shards, "refuse_local"), Error);
  world.barrier();
  if (world.rank() == 0) fs::remove("refuse_local");
}

}  // namespace
}  // namespace dino
