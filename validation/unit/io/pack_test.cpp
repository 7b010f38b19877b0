// SPDX-License-Identifier: Apache-2.0
#include "io/pack.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <thread>

#include "base/error.hpp"
#include "io/shards.hpp"
#include "unit/io/pictures.hpp"
#include "unit/io/tar_writer.hpp"

namespace dino::io {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::string text_of(std::vector<std::byte> const& bytes) {
  return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}

/// 23 pictures of three classes and four files that are none; on rank 0, for all.
test::Files pictures() {
  test::Files files;
  for (int i = 0; i < 23; ++i) {
    auto const picture = test::drawn_picture(10 + i, 9, static_cast<std::uint64_t>(i));
    auto const path = fmt::format("class {}/{:02}.{}", i % 3, i, i % 2 == 0 ? "png" : "jpg");
    files[path] = text_of(i % 4 == 0 ? encode_png(picture) : encode_jpeg(picture, 80));
  }
  files["class 0/broken.jpg"] = files["class 1/01.jpg"].substr(0, 300);
  files["class 0/empty.png"] = "";
  files["class 2/odd\nname.tiff"] = "II*";
  files["class 2/text.png"] = "hello";
  return files;
}

void on_first_rank(Communicator const& world, std::function<void()> const& work) {
  if (world.rank() == 0) work();
  world.barrier();
}

/// The error of a pack, "" where there was none.
std::string failure(Communicator const& comm, PackOptions const& options, ExitCode code) {
  try {
    static_cast<void>(pack(comm, options));
  } catch (Error const& error) {
    EXPECT_EQ(error.code(), code);
    return error.what();
  }
  return "";
}

void expect_nothing_at(Communicator const& comm, std::string const& out) {
  comm.barrier();  // rank 0 tidies up
  EXPECT_FALSE(fs::exists(out));
  EXPECT_FALSE(fs::exists("." + out + ".packing"));
  comm.barrier();  // before it begins something new
}

}  // namespace

TEST(Pack, MakesTheSameShardsOnAnyNumberOfRanks) {
  auto const world = Communicator::world();
  on_first_rank(world, [] {
    test::write_tree("pictures", pictures());
    test::write_tar("pictures.tar", pictures());
    for (auto const* out : {"alone", "together", "from_tar"}) fs::remove_all(out);
  });

  auto const together =
      pack(world, {.source = {.inputs = {"pictures"}}, .out = "together", .shard_bytes = 3000});
  auto const from_tar =
      pack(world, {.source = {.inputs = {"pictures.tar"}}, .out = "from_tar", .shard_bytes = 3000});

  EXPECT_EQ(together.images, 23);
  EXPECT_EQ(together.classes, 3);
  EXPECT_GE(together.shards, 3);
  EXPECT_EQ(together.skipped.size(), 4U);
  auto const verified = verify_shards(world, "together");
  EXPECT_THAT(verified.faults, testing::IsEmpty());
  EXPECT_EQ(verified.images, 23);
  if (world.rank() != 0) return;
  auto const alone =
      pack(Communicator::self(),
           {.source = {.inputs = {"pictures"}}, .out = "alone", .shard_bytes = 3000});
  EXPECT_EQ(alone.shards, together.shards);
  for (auto const& file : fs::directory_iterator("alone")) {
    EXPECT_EQ(test::file_contents(file.path()),
              test::file_contents("together" / file.path().filename()));
  }
  auto const files = pictures();
  auto const set = ShardSet::open("together");
  auto const tar_set = ShardSet::open("from_tar");
  ASSERT_EQ(set.size(), 23);
  ASSERT_EQ(tar_set.size(), 23);
  for (std::int64_t i = 0; i < 23; ++i) {
    auto const image = set.read_all(i);
    EXPECT_EQ(text_of(image.bytes), files.at(image.key));
    EXPECT_EQ("class " + std::to_string(image.label.value()), image.key.substr(0, 7));
    EXPECT_EQ(tar_set.read_all(i).key, image.key);
    EXPECT_EQ(tar_set.entry(i).crc32, set.entry(i).crc32);
  }
}

TEST(Pack, ListsWhatItSkipped) {
  auto const world = Communicator::world();
  on_first_rank(world, [] {
    test::write_tree("pictures", pictures());
    fs::remove_all("out");
    fs::create_directory("out");  // empty is as good as missing
  });

  auto const report =
      pack(world, {.source = {.inputs = {"pictures"}}, .out = "out", .shard_bytes = 2000});

  ASSERT_EQ(report.skipped.size(), 4U);
  EXPECT_EQ(report.skipped[0].key, "class 0/broken.jpg");
  EXPECT_THAT(report.skipped[0].reason, HasSubstr("JPEG"));
  auto const text = text_of(test::file_contents("out/skipped.txt"));
  EXPECT_THAT(text, HasSubstr("class 0/broken.jpg: JPEG: Premature end"));
  EXPECT_THAT(text, HasSubstr("class 0/empty.png: the file is empty\n"));
  EXPECT_THAT(text, HasSubstr("class 2/odd?name.tiff: a TIFF file, neither JPEG nor PNG\n"));
  EXPECT_EQ(std::ranges::count(text, '\n'), 4);
}

TEST(Pack, PublishesNothingAfterAnError) {
  auto const world = Communicator::world();
  on_first_rank(world, [] {
    test::write_tree("pictures", pictures());
    test::write_tree("broken", {{"a.png", "nothing"}});
    test::write_tree("taken", {{"note.txt", "mine"}});
    fs::remove_all("out");
  });
  SourceOptions const source{.inputs = {"pictures"}};

  EXPECT_THAT(failure(world, {.source = source, .out = "out", .strict = true}, ExitCode::input),
              HasSubstr("4 of 27 images cannot be read, e.g. 'class 0/broken.jpg'"));
  expect_nothing_at(world, "out");
  EXPECT_THAT(failure(world, {.source = {.inputs = {"broken"}}, .out = "out"}, ExitCode::input),
              HasSubstr("1 of 1 images cannot be read"));
  expect_nothing_at(world, "out");
  EXPECT_THAT(failure(world, {.source = {.inputs = {"missing"}}, .out = "out"}, ExitCode::input),
              HasSubstr("missing"));
  EXPECT_THAT(failure(world, {.source = source, .out = "taken"}, ExitCode::usage),
              HasSubstr("not an empty folder"));
  EXPECT_TRUE(fs::exists("taken/note.txt"));
  EXPECT_THAT(failure(world, {.source = source, .out = ""}, ExitCode::usage),
              HasSubstr("-o shards"));
  EXPECT_THAT(failure(world, {.source = source, .out = "out", .shard_bytes = 0}, ExitCode::usage),
              HasSubstr("--shard-bytes"));
}

TEST(Pack, PublishesNothingWhereTheDiskRefuses) {
  auto const world = Communicator::world();
  if (world.rank() != 0) return;
  test::write_tree("pictures", pictures());
  fs::remove_all("out");
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  auto const old_handler = std::signal(SIGXFSZ, SIG_IGN);
  for (rlim_t const most :
       {100, 2000, 6000, 12000}) {  // bytes per file: in the pictures, in the index
    SCOPED_TRACE(most);
    rlimit const small{.rlim_cur = most, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);

    auto const message = failure(
        Communicator::self(), {.source = {.inputs = {"pictures"}}, .out = "out"}, ExitCode::input);

    setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_THAT(message, HasSubstr("write"));
    expect_nothing_at(Communicator::self(), "out");
  }
  std::signal(SIGXFSZ, old_handler);
}

TEST(Pack, PublishesNothingAfterAnInterrupt) {
  auto const world = Communicator::world();
  if (world.rank() != 0) return;
  fs::remove_all("many");
  fs::remove_all("out");
  fs::create_directory("many");
  test::write_contents("one.png", encode_png(test::drawn_picture(600, 400)));
  for (int i = 0; i < 400; ++i)
    fs::create_symlink(fs::absolute("one.png"), fmt::format("many/{}.png", i));

  std::thread sender([] {
    while (!fs::exists(".out.packing/part_2.h5")) std::this_thread::yield();
    kill(getpid(), SIGTERM);
  });
  auto const message = failure(
      Communicator::self(),
      {.source = {.inputs = {"many"}}, .out = "out", .shard_bytes = 5'000'000}, ExitCode::stopped);
  sender.join();

  EXPECT_THAT(message, HasSubstr("interrupted by signal 15"));
  expect_nothing_at(Communicator::self(), "out");
}

TEST(Pack, KeepsMasksAndConvertsDepthToOneUnit) {
  auto const world = Communicator::world();
  Raster const depth{.width = 3, .height = 2, .values = {0, 1000, 2000, 20000, 65535, 7}};
  std::string const pgm("P5\n# depth\n3 2\n65535\n\0\0\x03\xE8\x07\xD0\x4E\x20\xFF\xFF\0\x07", 33);
  Raster const mask{.width = 3, .height = 2, .values = {0, 1, 2, 3, 255, 1}};
  on_first_rank(world, [&] {
    auto const picture = text_of(encode_png(test::drawn_picture(3, 2)));
    test::write_tree(
        "depths", {{"labels.csv",
                    "path,mask,depth,units_per_metre\n"
                    "a.png,m.png,a.depth.png,5000\nb.png,,b.pgm,1000\nc.png,wide.png,,\n"},
                   {"a.png", picture},
                   {"b.png", picture},
                   {"c.png", picture},
                   {"m.png", text_of(encode_png(mask, 8))},
                   {"wide.png",
                    text_of(encode_png(Raster{.width = 6, .height = 1, .values = mask.values}, 8))},
                   {"a.depth.png", text_of(encode_png(depth, 16))},
                   {"b.pgm", pgm}});
    fs::remove_all("out");
  });

  auto const report = pack(world, {.source = {.inputs = {"depths"}}, .out = "out"});

  EXPECT_EQ(report.images, 2);
  EXPECT_EQ(report.masks, 1);
  EXPECT_EQ(report.depths, 2);
  ASSERT_EQ(report.skipped.size(), 1U);
  EXPECT_EQ(report.skipped[0].reason, "its mask has 6 x 1 pixels, the image 3 x 2");
  auto const set = ShardSet::open("out");
  EXPECT_EQ(decode_raster(set.read_all(0).mask).values, mask.values);
  EXPECT_EQ(decode_raster(set.read_all(0).depth).values, depth.values);
  EXPECT_EQ(
      decode_raster(set.read_all(1).depth).values,
      (std::vector<std::uint16_t>{0, 5000, 10000, 0, 0, 35}));  // 20 m do not fit at 5000 per metre
  EXPECT_THAT(verify_shards("out").faults, testing::IsEmpty());
}

}  // namespace dino::io
