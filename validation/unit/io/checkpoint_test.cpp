// SPDX-License-Identifier: Apache-2.0
#include "io/checkpoint.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <random>

#include "base/error.hpp"
#include "io/describe.hpp"
#include "support/checkpoint_fixture.hpp"

namespace dino::io {
namespace {

using test::file_bytes;
using test::same_bits;
using test::sample_arrays;
using test::sample_state;
namespace fs = std::filesystem;

std::string write_sample(std::string const& path) {
  auto const arrays = sample_arrays();
  write_checkpoint(Communicator::self(), path, test::parts_of(arrays, 0, 1), sample_state());
  return path;
}

/// The message of the Error of a call, checked for its exit code.
std::string message_of(ExitCode code, std::function<void()> const& call) {
  try {
    call();
  } catch (Error const& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no Error was thrown";
  return "";
}

/// A new empty folder inside the test's own.
std::string fresh_folder(std::string const& name) {
  fs::remove_all(name);
  fs::create_directory(name);
  return name;
}

TEST(Checkpoint, ReadsBackEveryBitUnderItsNameAndShape) {
  auto const path = write_sample("whole.h5");

  auto const arrays = sample_arrays();
  auto const summary = read_checkpoint_summary(path);
  ASSERT_EQ(summary.arrays.size(), arrays.size());
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    EXPECT_EQ(summary.arrays[i].name, arrays[i].name);
    EXPECT_EQ(summary.arrays[i].shape, arrays[i].shape);
    EXPECT_TRUE(same_bits(read_checkpoint_array(path, arrays[i].name), arrays[i].values))
        << arrays[i].name;
  }
  EXPECT_EQ(find_checkpoint_fault(Communicator::self(), path), std::nullopt);
}

TEST(Checkpoint, KeepsTheStateOfEveryType) {
  auto const state = read_checkpoint_summary(write_sample("state.h5")).state;

  auto const expected = sample_state();
  EXPECT_EQ(state.integers, expected.integers);
  EXPECT_EQ(state.texts, expected.texts);
  EXPECT_EQ(state.reals.at("loss"), 10.5);
  EXPECT_TRUE(std::isnan(state.reals.at("nothing")));
}

TEST(Checkpoint, KeepsALongText) {
  CheckpointState const state{
      .integers = {}, .reals = {}, .texts = {{"long", std::string(100000, 'x')}}};
  write_checkpoint(Communicator::self(), "long.h5", {}, state);

  EXPECT_EQ(read_checkpoint_summary("long.h5").state.texts, state.texts);
}

TEST(Checkpoint, HoldsNothingAtAll) {
  write_checkpoint(Communicator::self(), "nothing.h5", {}, {});

  EXPECT_TRUE(read_checkpoint_summary("nothing.h5").arrays.empty());
  EXPECT_EQ(find_checkpoint_fault(Communicator::self(), "nothing.h5"), std::nullopt);
}

TEST(Checkpoint, HoldsThousandsOfArrays) {
  std::vector<float> const values(5, 1.5F);
  std::vector<CheckpointPart> parts;
  for (int i = 0; i < 3000; ++i) {
    parts.push_back({fmt::format("student/backbone.blocks.{}.some.rather.long.name.weight", i),
                     {5},
                     0,
                     values});
  }

  write_checkpoint(Communicator::self(), "many.h5", parts, sample_state());

  EXPECT_EQ(read_checkpoint_summary("many.h5").arrays.size(), parts.size());
  EXPECT_EQ(find_checkpoint_fault(Communicator::self(), "many.h5"), std::nullopt);
  EXPECT_EQ(read_checkpoint_array("many.h5", parts.back().name), values);
}

TEST(Checkpoint, OpensInH5py) {
  if (std::system("/usr/bin/python3 -c 'import h5py' 2>/dev/null") != 0)
    GTEST_SKIP() << "h5py is not installed";
  std::vector<float> values(6);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) + 0.25F;
  CheckpointPart const part{"student/backbone.norm.weight", {2, 3}, 0, values};
  write_checkpoint(Communicator::self(), "h5py.h5", std::span(&part, 1), sample_state());

  auto const* const script =
      "/usr/bin/python3 - <<'END'\n"
      "import h5py, zlib\n"
      "f = h5py.File('h5py.h5', 'r')\n"
      "a = f['student/backbone.norm.weight']\n"
      "assert a.dtype == '<f4' and a[...].tolist() == [[.25, 1.25, 2.25], [3.25, 4.25, 5.25]]\n"
      "s = f['state'].attrs\n"
      "assert s['step'] == 1234567890123 and s['seed'] == -7 and s['loss'] == 10.5\n"
      "assert s['config'] == '[run]\\nname = \"gr\\u00fcn\"\\n' and s['empty'] == ''\n"
      "t = f['arrays'][0]\n"
      "assert t['name'].decode() == 'student/backbone.norm.weight' and t['crc32'] == "
      "zlib.crc32(a[...].tobytes())\n"
      "END\n";
  EXPECT_EQ(std::system(script), 0);
}

TEST(Checkpoint, RefusesOtherShapesAndUnknownNames) {
  auto const path = write_sample("refuse.h5");
  std::vector<float> values(7);
  CheckpointRequest const shape{"student/backbone.cls_token", {7}, 0, values};
  CheckpointRequest const name{"student/backbone.register_tokens", {7}, 0, values};

  EXPECT_THAT(message_of(ExitCode::input, [&] { read_checkpoint(path, std::span(&shape, 1)); }),
              testing::HasSubstr("has shape [1, 1, 7], but [7] is needed"));
  EXPECT_THAT(message_of(ExitCode::input, [&] { read_checkpoint(path, std::span(&name, 1)); }),
              testing::HasSubstr("has no array 'student/backbone.register_tokens'"));
  EXPECT_THAT(message_of(ExitCode::input, [&] { read_checkpoint("absent.h5", {}); }),
              testing::HasSubstr("cannot open 'absent.h5': No such file"));
}

TEST(Checkpoint, RefusesPartsThatDoNotMakeWholeArrays) {
  std::vector<float> const values(4);
  CheckpointPart const few{"a", {5}, 0, values};
  CheckpointPart const twice[] = {{"a", {4}, 0, values}, {"a", {4}, 0, values}};

  EXPECT_THAT(message_of(ExitCode::bug,
                         [&] { write_checkpoint(Communicator::self(), "x.h5", {&few, 1}, {}); }),
              testing::HasSubstr("parts of 'a' cover 4 of its 5 elements"));
  EXPECT_THAT(
      message_of(ExitCode::bug, [&] { write_checkpoint(Communicator::self(), "x.h5", twice, {}); }),
      testing::HasSubstr("two arrays of a checkpoint are named 'a'"));
  EXPECT_FALSE(fs::exists("x.h5"));
}

/// Whether a changed file is refused, or still gives the very same state and arrays.
bool is_caught_or_harmless(std::string const& path) {
  if (find_checkpoint_fault(Communicator::self(), path)) return true;
  auto const arrays = sample_arrays();
  auto const summary = read_checkpoint_summary(path);
  if (summary.state.texts != sample_state().texts || summary.arrays.size() != arrays.size())
    return false;
  return std::ranges::all_of(arrays, [&](auto const& array) {
    return same_bits(read_checkpoint_array(path, array.name), array.values);
  });
}

TEST(Checkpoint, IsRefusedWhereverItIsCutOff) {
  auto const whole = file_bytes(write_sample("cut_whole.h5"));

  for (std::size_t i = 0; i < 60; ++i) {
    auto const length = i < 10 ? i * 60 : whole.size() * i / 60;
    test::write_file("cut.h5", std::span(whole).first(length));
    EXPECT_TRUE(find_checkpoint_fault(Communicator::self(), "cut.h5")) << length;
    EXPECT_THROW(read_checkpoint_summary("cut.h5"), Error) << length;
  }
}

TEST(Checkpoint, NeverPassesOffAFlippedBit) {
  auto const whole = file_bytes(write_sample("flip_whole.h5"));
  std::vector<std::size_t> used;  // most of a small file's metadata block is empty
  for (std::size_t i = 0; i < whole.size(); ++i) {
    if (whole[i] != 0) used.push_back(i);
  }
  std::mt19937 random(2024);

  for (int i = 0; i < 400; ++i) {
    auto const place = i % 4 == 0 ? random() % whole.size() : used[random() % used.size()];
    auto damaged = whole;
    damaged[place] = static_cast<char>(damaged[place] ^ (1 << (random() % 8)));
    test::write_file("flip.h5", damaged);
    EXPECT_TRUE(is_caught_or_harmless("flip.h5")) << place;
    EXPECT_TRUE(find_checkpoint_fault(Communicator::self(), "flip.h5"))
        << place;  // there are no unused bytes
  }
}

TEST(Checkpoint, NamesTheDamagedArray) {
  auto bytes = file_bytes(write_sample("named.h5"));
  bytes[bytes.size() - 5] ^= 1;  // the last array is a scalar of 4 bytes
  test::write_file("named.h5", bytes);

  EXPECT_THAT(find_checkpoint_fault(Communicator::self(), "named.h5").value_or(""),
              testing::HasSubstr("the checksum of the array 'moments/center' differs"));
  EXPECT_THROW(read_checkpoint_array("named.h5", "moments/center"), Error);
}

TEST(Checkpoint, LeavesNothingOnAFullDisk) {
  auto const folder = fresh_folder("full");
  auto const previous = file_bytes(write_sample(checkpoint_path(folder, 1)));
  auto const path = checkpoint_path(folder, 2);

  for (rlim_t const limit : {0UL, 600UL, 4096UL, static_cast<unsigned long>(previous.size()) - 1}) {
    std::string message;
    {
      test::FileSizeLimit const full(limit);
      message = message_of(ExitCode::input, [&] { write_sample(path); });
    }
    EXPECT_THAT(message, testing::HasSubstr("File too large"));
    EXPECT_THAT(list_checkpoints(folder), testing::ElementsAre(1));
    EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 1) << limit;
  }
  EXPECT_EQ(file_bytes(checkpoint_path(folder, 1)), previous);
}

TEST(Checkpoint, SaysWhereItCannotBeWritten) {
  EXPECT_THAT(message_of(ExitCode::input, [] { write_sample("no/such/folder/x.h5"); }),
              testing::HasSubstr(
                  "cannot write 'no/such/folder/x.h5.unfinished': No such file or directory"));
}

TEST(Checkpoint, IsDescribed) {
  auto const text = describe_checkpoint(write_sample("described.h5"));

  EXPECT_THAT(text, testing::HasSubstr("checksums: all right"));
  EXPECT_THAT(text, testing::ContainsRegex("step +1234567890123"));
  EXPECT_THAT(text, testing::HasSubstr("student: 3 arrays, 379 values"));
  EXPECT_THAT(text, testing::ContainsRegex("backbone.cls_token +.1, 1, 7."));
}

TEST(CheckpointFiles, KeepTheNewestAndEveryKth) {
  auto const folder = fresh_folder("keep");
  for (std::int64_t step = 10; step <= 60; step += 10) {
    write_sample(checkpoint_path(folder, step));
    publish_checkpoint(folder, step, 2, 30);
  }

  EXPECT_THAT(list_checkpoints(folder), testing::ElementsAre(60, 50, 30));
  EXPECT_EQ(fs::read_symlink(fs::path(folder) / "latest.h5"), "checkpoint_000000060.h5");
  EXPECT_EQ(find_checkpoint_fault(Communicator::self(), folder + "/latest.h5"), std::nullopt);
}

TEST(CheckpointFiles, IgnoreAndThenRemoveUnfinishedOnes) {
  auto const folder = fresh_folder("unfinished");
  write_sample(checkpoint_path(folder, 7));
  test::write_file(checkpoint_path(folder, 8) + ".unfinished", std::string("half"));
  test::write_file(folder + "/checkpoint_notes.h5", std::string("mine"));
  test::write_file(folder + "/metrics.h5", std::string("other"));

  EXPECT_THAT(list_checkpoints(folder), testing::ElementsAre(7));
  publish_checkpoint(folder, 7, 1, 0);

  EXPECT_FALSE(fs::exists(checkpoint_path(folder, 8) + ".unfinished"));
  EXPECT_TRUE(fs::exists(folder + "/checkpoint_notes.h5"));
  EXPECT_TRUE(fs::exists(folder + "/metrics.h5"));
}

TEST(CheckpointFiles, AreNoneInAFolderThatIsNotThere) {
  EXPECT_TRUE(list_checkpoints("not/there").empty());
}

}  // namespace
}  // namespace dino::io
