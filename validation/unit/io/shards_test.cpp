// SPDX-License-Identifier: Apache-2.0
#include "io/shards.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "base/error.hpp"
#include "unit/io/pictures.hpp"

namespace dino::io {
namespace {

namespace fs = std::filesystem;
using test::damaged;
using test::drawn_picture;
using test::file_contents;
using test::write_contents;
using testing::HasSubstr;

/// An empty folder of this test.
std::string fresh_folder(std::string const& name) {
  fs::remove_all(name);
  fs::create_directory(name);
  return name;
}

ShardImage shard_image(int number) {
  std::int32_t const width = 8 + number;
  Raster mask{.width = width, .height = 6, .values = {}};
  for (std::int32_t i = 0; i < width * 6; ++i)
    mask.values.push_back(static_cast<std::uint16_t>(i % 5));
  auto const picture = drawn_picture(width, 6, static_cast<std::uint64_t>(number));
  ShardImage image{.key = "folder/picture " + std::to_string(number),
                   .bytes = number % 2 == 0 ? encode_png(picture) : encode_jpeg(picture, 90),
                   .width = width,
                   .height = 6,
                   .label = number % 3,
                   .mask = number % 2 == 0 ? encode_png(mask, 8) : std::vector<std::byte>{},
                   .depth = number % 3 == 0 ? encode_png(mask, 16) : std::vector<std::byte>{},
                   .duplicate = {}};
  if (number == 2) image.label.reset();
  if (number > 3) image.duplicate = 7;
  return image;
}

ShardMetadata const three_classes{
    .class_names = {"ape", "bee", "Żubr"}, .depth_units_per_metre = 1000, .source = "test"};

/// Writes shards of `each` images.
void write_shards(std::string const& folder, int images, int each) {
  for (int begin = 0; begin < images; begin += each) {
    ShardWriter writer(folder + "/shard_" + std::to_string(begin / each) + ".h5", three_classes);
    for (int i = begin; i < std::min(begin + each, images); ++i) writer.add(shard_image(i));
    writer.finish();
  }
}

std::string open_error(std::string const& path) {
  try {
    static_cast<void>(ShardSet::open(path));
  } catch (Error const& error) {
    EXPECT_EQ(error.code(), ExitCode::input);
    return error.what();
  }
  return "opened";
}

void expect_equal(ShardImage const& a, ShardImage const& b) {
  EXPECT_EQ(a.key, b.key);
  EXPECT_EQ(a.bytes, b.bytes);
  EXPECT_EQ(a.width, b.width);
  EXPECT_EQ(a.height, b.height);
  EXPECT_EQ(a.label, b.label);
  EXPECT_EQ(a.mask, b.mask);
  EXPECT_EQ(a.depth, b.depth);
  EXPECT_EQ(a.duplicate, b.duplicate);
}

}  // namespace

TEST(ShardSet, ReadsBackWhatWasWritten) {
  auto const folder = fresh_folder("round_trip");
  write_shards(folder, 7, 3);

  auto const set = ShardSet::open(folder);

  ASSERT_EQ(set.size(), 7);
  ASSERT_EQ(set.files().size(), 3U);
  EXPECT_EQ(set.class_names(), three_classes.class_names);
  EXPECT_TRUE(set.labelled());
  for (int i = 0; i < 7; ++i) {
    expect_equal(set.read_all(i), shard_image(i));
    EXPECT_EQ(set.read(i), shard_image(i).bytes);
    EXPECT_EQ(set.entry(i).label, i == 2 ? -1 : i % 3);
  }
  EXPECT_TRUE(verify_shards(folder).faults.empty());
  EXPECT_EQ(verify_shards(folder).images, 7);
}

TEST(ShardSet, HoldsNoLabelsWhereNoneWereGiven) {
  auto const folder = fresh_folder("unlabelled");
  ShardWriter writer(folder + "/a.h5", {});
  auto image = shard_image(1);
  image.label.reset();
  writer.add(image);
  writer.finish();

  auto const set = ShardSet::open(folder + "/a.h5", FileLocking::no);

  EXPECT_FALSE(set.labelled());
  EXPECT_EQ(set.entry(0).label, -1);
  expect_equal(set.read_all(0), image);
}

TEST(ShardSet, TravelsToOtherRanksAndFolders) {
  auto const folder = fresh_folder("here");
  write_shards(folder, 5, 2);
  auto const there = fresh_folder("there");

  auto const set = ShardSet::deserialize(ShardSet::open(folder).serialize());
  fs::copy(folder, there, fs::copy_options::recursive);
  fs::remove_all(folder);
  auto const moved = set.relocated(there);

  ASSERT_EQ(moved.size(), 5);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(moved.read(i), shard_image(i).bytes);
  EXPECT_THROW(static_cast<void>(set.read(0)), Error);
}

TEST(ShardSet, ReadsBlocksAcrossFilesFromManyThreads) {
  auto const folder = fresh_folder("blocks");
  write_shards(folder, 8, 3);
  auto const set = ShardSet::open(folder);
  auto const unexpected = [](std::int64_t, std::string const& message) {
    ADD_FAILURE() << message;
  };

  std::vector<std::thread> threads;
  for (std::int64_t begin = 0; begin < 4; ++begin) {
    threads.emplace_back([&set, &unexpected, begin] {
      auto const block = set.read_block(begin, 8, unexpected);
      ASSERT_EQ(block.size(), static_cast<std::size_t>(8 - begin));
      for (std::int64_t i = begin; i < 8; ++i) {
        EXPECT_EQ(block[static_cast<std::size_t>(i - begin)],
                  shard_image(static_cast<int>(i)).bytes);
      }
    });
  }
  for (auto& thread : threads) thread.join();

  EXPECT_TRUE(set.read_block(3, 3, unexpected).empty());
}

TEST(ShardSet, SkipsAndNamesOneDamagedImageOfABlock) {
  auto const folder = fresh_folder("one_damaged");
  write_shards(folder, 4, 4);
  auto const set = ShardSet::open(folder);
  auto const& entry = set.entry(2);
  auto bytes = file_contents(set.files()[0]);
  bytes[static_cast<std::size_t>(entry.offset + entry.length / 2)] ^= std::byte{1};
  write_contents(set.files()[0], bytes);

  std::vector<std::string> bad;
  auto const block = set.read_block(0, 4, [&bad](std::int64_t i, std::string const& message) {
    bad.push_back(std::to_string(i) + message);
  });

  ASSERT_EQ(bad.size(), 1U);
  EXPECT_THAT(bad[0], HasSubstr("2image 2 of shard"));
  EXPECT_THAT(bad[0], HasSubstr("checksum differs"));
  EXPECT_TRUE(block[2].empty());
  EXPECT_EQ(block[3], shard_image(3).bytes);
  EXPECT_THROW(static_cast<void>(set.read(2)), Error);
  auto const report = verify_shards(folder);
  ASSERT_EQ(report.faults.size(), 1U);
  EXPECT_THAT(report.faults[0],
              HasSubstr("image 2 'folder/picture 2': image: its checksum differs"));
}

TEST(ShardSet, SkipsImagesCutOffAfterOpening) {
  auto const folder = fresh_folder("cut_later");
  write_shards(folder, 4, 4);
  auto const set = ShardSet::open(folder);
  fs::resize_file(set.files()[0], static_cast<std::uintmax_t>(set.entry(2).offset + 3));

  int bad = 0;
  auto const block = set.read_block(0, 4, [&bad](std::int64_t, std::string const&) { ++bad; });

  EXPECT_EQ(bad, 2);
  EXPECT_EQ(block[1], shard_image(1).bytes);
  EXPECT_TRUE(block[2].empty());
  EXPECT_TRUE(block[3].empty());
}

TEST(ShardSet, NamesWhatIsWrongWithAFolder) {
  EXPECT_THAT(open_error("no_such_folder"), HasSubstr("no_such_folder"));
  EXPECT_THAT(open_error(fresh_folder("nothing")), HasSubstr("holds no shards"));
  auto const folder = fresh_folder("mixed");
  write_shards(folder, 2, 2);
  ShardWriter other(folder + "/z.h5",
                    {.class_names = {"cat"}, .depth_units_per_metre = 0, .source = ""});
  auto image = shard_image(0);
  image.label = 0;
  other.add(image);
  other.finish();
  EXPECT_THAT(open_error(folder), HasSubstr("different classes"));
  EXPECT_EQ(verify_shards(folder).faults.size(), 1U);
  write_contents(folder + "/z.h5", test::bytes_of("no HDF5"));
  EXPECT_THAT(open_error(folder), HasSubstr("z.h5"));
}

TEST(ShardWriter, LeavesNothingBehindUnlessFinished) {
  auto const folder = fresh_folder("unfinished");
  {
    ShardWriter writer(folder + "/a.h5", three_classes);
    writer.add(shard_image(1));
    EXPECT_EQ(writer.images(), 1);
  }
  EXPECT_TRUE(fs::is_empty(folder));

  ShardWriter nowhere("no/such/folder/a.h5", three_classes);
  EXPECT_THROW(nowhere.add(shard_image(1)), Error);
}

TEST(ShardWriter, ReportsAFullDisk) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "needs /dev/full";
  auto const folder = fresh_folder("full");
  ShardWriter writer(folder + "/a.h5", three_classes);
  writer.add(shard_image(1));
  fs::create_symlink("/dev/full", folder + "/.a.h5.tmp");

  EXPECT_THROW(writer.finish(), Error);

  EXPECT_FALSE(fs::exists(folder + "/a.h5"));
}

TEST(ShardSet, SurvivesDamage) {
  auto const folder = fresh_folder("damage");
  write_shards(folder, 4, 4);
  auto const file = file_contents(folder + "/shard_0.h5");
  fs::remove_all(folder);
  int refused = 0;
  int skipped = 0;
  int unharmed = 0;
  for (std::uint64_t number = 0; number < 600; ++number) {
    fresh_folder(folder);
    write_contents(folder + "/shard_0.h5", damaged(file, number));
    auto const report = verify_shards(folder);
    try {
      auto const set = ShardSet::open(folder);
      ASSERT_LE(set.size(), 4);
      int bad = 0;
      auto const block =
          set.read_block(0, set.size(), [&bad](std::int64_t, std::string const&) { ++bad; });
      for (std::size_t i = 0; i < block.size(); ++i) {
        EXPECT_TRUE(block[i].empty() || block[i] == shard_image(static_cast<int>(i)).bytes);
      }
      for (std::int64_t i = 0; i < set.size(); ++i) {
        try {
          static_cast<void>(set.read_all(i));
        } catch (Error const&) {
          EXPECT_FALSE(report.faults.empty());
        }
      }
      skipped += bad > 0 ? 1 : 0;
      unharmed += bad == 0 ? 1 : 0;
      EXPECT_TRUE(bad == 0 || !report.faults.empty());
    } catch (Error const& error) {
      ASSERT_EQ(error.code(), ExitCode::input) << error.what();
      EXPECT_FALSE(report.faults.empty());
      ++refused;
    }
  }
  RecordProperty("refused", refused);
  RecordProperty("skipped", skipped);
  RecordProperty("unharmed", unharmed);
  EXPECT_GE(refused, 150);  // every cut is found: a quarter
  EXPECT_GE(skipped, 1);
}

}  // namespace dino::io
