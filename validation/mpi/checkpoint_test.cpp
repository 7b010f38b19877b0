// SPDX-License-Identifier: Apache-2.0
#include "io/checkpoint.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.hpp"
#include "io/checkpoint_bench.hpp"
#include "support/checkpoint_fixture.hpp"

namespace dino::io {
namespace {

using test::sample_arrays;
using test::sample_state;

/// Runs `work` on the first `ranks` ranks, as a program of that many ranks would.
void on_first(int ranks, std::function<void(Communicator const&)> const& work) {
  auto const world = Communicator::world();
  bool const inside = world.rank() < ranks;
  auto const part = world.split(inside ? 1 : 0);
  if (inside) work(part);
  world.barrier();
}

void write_sample(Communicator const& comm, std::string const& path) {
  auto const arrays = sample_arrays();
  write_checkpoint(comm, path, test::parts_of(arrays, comm.rank(), comm.size()), sample_state());
}

/// Reads this rank's share of every array and compares bits.
void expect_sample(Communicator const& comm, std::string const& path) {
  auto const arrays = sample_arrays();
  std::vector<std::vector<float>> read;
  std::vector<CheckpointRequest> requests;
  auto const expected = test::parts_of(arrays, comm.rank(), comm.size());
  for (auto const& part : expected) read.emplace_back(part.values.size());
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    requests.push_back({arrays[i].name, arrays[i].shape, expected[i].offset, read[i]});
  }
  read_checkpoint(path, requests);
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    EXPECT_TRUE(test::same_bits(read[i], expected[i].values)) << arrays[i].name;
  }
}

TEST(CheckpointOverRanks, IsTheSameFileFromAnyNumberOfThem) {
  auto const world = Communicator::world();
  for (int writers = 1; writers <= world.size(); ++writers) {
    on_first(writers, [&](Communicator const& comm) {
      write_sample(comm, fmt::format("by{}.h5", writers));
    });
    EXPECT_EQ(test::file_bytes(fmt::format("by{}.h5", writers)), test::file_bytes("by1.h5"))
        << writers;
    EXPECT_EQ(find_checkpoint_fault(world, fmt::format("by{}.h5", writers)), std::nullopt);
  }
}

TEST(CheckpointOverRanks, IsReadByAnyOtherNumberOfThem) {
  auto const world = Communicator::world();
  write_sample(world, "read.h5");

  for (int readers = 1; readers <= world.size(); ++readers) {
    on_first(readers, [&](Communicator const& comm) { expect_sample(comm, "read.h5"); });
  }
}

TEST(CheckpointOverRanks, FindTheSameFaultTogether) {
  auto const world = Communicator::world();
  write_sample(world, "fault.h5");
  if (world.rank() == 0) {
    auto bytes = test::file_bytes("fault.h5");
    bytes[bytes.size() - 100] ^= 16;
    test::write_file("fault.h5", bytes);
  }
  world.barrier();

  auto const fault = find_checkpoint_fault(world, "fault.h5");

  EXPECT_EQ(fault,
            "checkpoint 'fault.h5' is damaged: the checksum of the array 'moments/center' differs");
  EXPECT_TRUE(find_checkpoint_fault(world, "absent.h5"));
}

TEST(CheckpointOverRanks, FailTogetherWhereOneDiskIsFull) {
  auto const world = Communicator::world();
  std::filesystem::path const path = "one_full.h5";
  if (world.rank() == 0) std::filesystem::remove(path);
  write_sample(world, "room.h5");
  auto const just_too_small = std::filesystem::file_size("room.h5") - 100;
  std::string message;

  {
    auto const last = world.size() - 1;
    test::FileSizeLimit const limit(world.rank() == last ? just_too_small : RLIM_INFINITY);
    try {
      write_sample(world, path);
    } catch (Error const& error) {
      message = error.what();
      EXPECT_EQ(error.code(), ExitCode::input);
    }
  }

  EXPECT_FALSE(message.empty());
  EXPECT_EQ(message, world.broadcast_text(message));
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_FALSE(std::filesystem::exists(path.string() + ".unfinished"));
}

TEST(CheckpointOverRanks, RefuseListsThatDiffer) {
  auto const world = Communicator::world();
  if (world.size() == 1) return;
  std::vector<float> const values(world.rank() == 0 ? 3 : 0);
  CheckpointPart const part{world.rank() == 0 ? "a" : "b", {3}, 0, values};

  EXPECT_THROW(write_checkpoint(world, "differ.h5", std::span(&part, 1), {}), Error);
}

TEST(CheckpointOverRanks, AreMeasured) {
  auto const figure = measure_checkpoint(Communicator::world(), ".", 1 << 20);

  EXPECT_EQ(figure.bytes, 1 << 20);
  EXPECT_GT(figure.gigabytes_per_second(figure.write_seconds), 0);
  EXPECT_GT(figure.gigabytes_per_second(figure.check_seconds), 0);
  EXPECT_GT(figure.gigabytes_per_second(figure.read_seconds), 0);
  EXPECT_FALSE(std::filesystem::exists("bench_checkpoint.h5"));
}

}  // namespace
}  // namespace dino::io
