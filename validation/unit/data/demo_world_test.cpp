// SPDX-License-Identifier: Apache-2.0
#include "data/demo_world.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>

#include "base/error.hpp"
#include "data/demo_scene.hpp"
#include "io/shards.hpp"
#include "support/checkpoint_fixture.hpp"

namespace dino {
namespace {

namespace fs = std::filesystem;

DemoWorldOptions small_world(std::string const& folder) {
  fs::remove_all(folder);
  return {.out = folder,
          .train_images = 60,
          .test_images = 24,
          .size = 64,
          .duplicate_share = 0.2,
          .images_per_shard = 25};
}

DemoWorldReport write(DemoWorldOptions const& options) {
  return write_demo_world(Communicator::self(), options);
}

/// Every file below a folder, by its path there.
std::map<std::string, std::vector<char>> files_of(std::string const& folder) {
  std::map<std::string, std::vector<char>> files;
  for (auto const& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file())
      files[fs::relative(entry.path(), folder).string()] = test::file_bytes(entry.path().string());
  }
  return files;
}

void expect_usage_error(DemoWorldOptions const& options, std::string const& part) {
  try {
    write(options);
    FAIL() << "not refused: " << part;
  } catch (Error const& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

std::uint16_t median(std::vector<std::uint16_t> values) {
  auto const middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Means over blocks of 8 x 8 pixels of a picture of 64 x 64, without their own mean, at length 1.
std::vector<double> coarse(io::Image const& image) {
  std::vector<double> blocks(std::size_t{8} * 8 * 3);
  for (std::size_t i = 0; i < image.pixels.size(); ++i) {
    auto const x = i / 3 % 64 / 8;
    auto const y = i / 3 / 64 / 8;
    blocks[(y * 8 + x) * 3 + i % 3] += image.pixels[i];
  }
  double const mean =
      std::reduce(blocks.begin(), blocks.end()) / static_cast<double>(blocks.size());
  for (double& block : blocks) block -= mean;
  double const length =
      std::sqrt(std::inner_product(blocks.begin(), blocks.end(), blocks.begin(), 0.0));
  for (double& block : blocks) block /= length;
  return blocks;
}

double similarity(std::vector<double> const& a, std::vector<double> const& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

TEST(DemoWorld, WritesShardsThatPassTheirVerification) {
  auto const options = small_world("verified");

  auto const report = write(options);

  EXPECT_EQ(report.images, 84);
  EXPECT_EQ(report.shards, 4);
  EXPECT_EQ(report.written, 4);
  std::int64_t bytes = 0;
  for (auto const& [path, contents] : files_of("verified"))
    bytes += static_cast<std::int64_t>(contents.size());
  EXPECT_EQ(report.bytes, bytes);
  for (auto const& [split, images] : {std::pair{"train", 60}, {"test", 24}}) {
    auto const verified = io::verify_shards(std::string("verified/") + split);
    EXPECT_EQ(verified.images, images);
    EXPECT_TRUE(verified.faults.empty()) << verified.faults.front();
    EXPECT_EQ(io::ShardSet::open(std::string("verified/") + split).class_names().size(), 12U);
  }
}

TEST(DemoWorld, IsAFunctionOfTheSeed) {
  write(small_world("seed0"));
  write(small_world("seed0_again"));
  auto other = small_world("seed1");
  other.seed = 1;
  write(other);

  EXPECT_EQ(files_of("seed0"), files_of("seed0_again"));
  auto const first = io::ShardSet::open("seed0/train");
  auto const second = io::ShardSet::open("seed1/train");
  for (std::int64_t i = 0; i < first.size(); ++i) EXPECT_NE(first.read(i), second.read(i));
}

TEST(DemoWorld, LeavesACompleteSetAloneAndFinishesAnother) {
  auto const options = small_world("again");
  write(options);
  auto const before = files_of("again");
  auto const time = fs::last_write_time("again/train/shard_00000.h5");
  fs::remove("again/train/shard_00001.h5");

  auto const report = write(options);
  auto const third = write(options);

  EXPECT_EQ(report.written, 1);
  EXPECT_EQ(third.written, 0);
  EXPECT_EQ(third.bytes, report.bytes);
  EXPECT_EQ(files_of("again"), before);
  EXPECT_EQ(fs::last_write_time("again/train/shard_00000.h5"), time);
}

TEST(DemoWorld, RefusesAFolderWithOtherShards) {
  auto const options = small_world("other");
  write(options);
  auto const before = files_of("other");

  std::vector<DemoWorldOptions> changed(6, options);
  changed[0].seed = 3;
  changed[1].size = 65;
  changed[2].train_images = 59;
  changed[3].test_images = 12;
  changed[4].duplicate_share = 0.1;
  changed[5].images_per_shard = 60;
  for (auto const& different : changed) expect_usage_error(different, "shard_");
  std::ofstream("other/test/mine.h5") << "mine";
  expect_usage_error(options, "mine.h5");

  fs::remove("other/test/mine.h5");
  EXPECT_EQ(files_of("other"), before);
}

TEST(DemoWorld, RefusesOptionsOutOfRange) {
  auto const good = small_world("range");
  std::vector<DemoWorldOptions> bad(9, good);
  bad[0].out = "";
  bad[1].train_images = 0;
  bad[2].test_images = 0;
  bad[3].size = 31;
  bad[4].size = 1025;
  bad[5].seed = -1;
  bad[6].duplicate_share = 0.51;
  bad[7].duplicate_share = std::numeric_limits<double>::quiet_NaN();
  bad[8].images_per_shard = 0;

  for (auto const& options : bad) expect_usage_error(options, "");

  EXPECT_FALSE(fs::exists("range"));
}

TEST(DemoWorld, PlansEveryClassAboutAsOften) {
  DemoWorldOptions const options;
  for (auto const& [split, images] : {std::pair{DemoSplit::train, options.train_images},
                                      {DemoSplit::test, options.test_images}}) {
    auto const entries = plan_demo_split(options, split);
    std::array<std::int64_t, demo_classes> count{};
    for (auto const& entry : entries) ++count[static_cast<std::size_t>(demo_label(entry.scene))];

    EXPECT_EQ(static_cast<std::int64_t>(entries.size()), images);
    for (auto const n : count) EXPECT_NEAR(static_cast<double>(n), images / 12.0, images / 240.0);
    EXPECT_FALSE(std::ranges::is_sorted(entries, {}, &DemoEntry::scene));
  }
}

TEST(DemoWorld, SharesNoSceneBetweenTrainingAndTest) {
  DemoWorldOptions const options;
  std::map<std::int64_t, int> splits;
  for (auto const& entry : plan_demo_split(options, DemoSplit::train)) splits[entry.scene] |= 1;
  for (auto const& entry : plan_demo_split(options, DemoSplit::test)) splits[entry.scene] |= 2;

  for (auto const& [scene, in] : splits) EXPECT_NE(in, 3) << scene;
}

TEST(DemoWorld, MasksAndDepthsAgreeWithTheLabels) {
  write(small_world("labels"));
  auto const shards = io::ShardSet::open("labels/train");
  for (std::int64_t i = 0; i < shards.size(); ++i) {
    auto const image = shards.read_all(i);
    auto const mask = io::decode_raster(image.mask);
    auto const depth = io::decode_raster(image.depth);
    std::array<std::int64_t, demo_classes + 1> area{};
    std::vector<std::uint16_t> object, background;
    for (std::size_t p = 0; p < mask.values.size(); ++p) {
      ASSERT_LE(mask.values[p], demo_classes);
      ++area[mask.values[p]];
      (mask.values[p] == 0 ? background : object).push_back(depth.values[p]);
    }

    auto const of_label = area[static_cast<std::size_t>(*image.label) + 1];
    EXPECT_EQ(of_label, *std::max_element(area.begin() + 1, area.end())) << i;
    EXPECT_GT(of_label, 64 * 64 / 20) << i;
    EXPECT_LT(of_label, 64 * 64 * 7 / 10) << i;
    EXPECT_LT(median(object), median(background)) << i;
    EXPECT_GE(*std::ranges::min_element(depth.values), 500) << i;    // half a metre
    EXPECT_LE(*std::ranges::max_element(depth.values), 11000) << i;  // the farthest wall
  }
}

TEST(DemoWorld, KnowsItsNearDuplicates) {
  write(small_world("duplicates"));
  auto const shards = io::ShardSet::open("duplicates/train");
  std::vector<std::vector<double>> pictures;
  std::vector<std::int64_t> groups;
  std::map<std::int64_t, int> group_sizes;
  for (std::int64_t i = 0; i < shards.size(); ++i) {
    auto const image = shards.read_all(i);
    pictures.push_back(coarse(io::decode_image(image.bytes)));
    groups.push_back(image.duplicate.value_or(-1 - i));
    ++group_sizes[groups.back()];
  }

  constexpr double threshold = 0.88;  // strangers here reach 0.84, copies fall to 0.93
  std::int64_t pairs = 0;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      bool const same = groups[i] == groups[j];
      pairs += same ? 1 : 0;
      auto const alike = similarity(pictures[i], pictures[j]);
      EXPECT_EQ(alike > threshold, same) << i << " " << j << " " << alike;
      if (!same) continue;
      EXPECT_NE(shards.read(static_cast<std::int64_t>(i)),
                shards.read(static_cast<std::int64_t>(j)));
    }
  }
  EXPECT_GE(pairs, 12);
  for (auto const& [group, size] : group_sizes) EXPECT_EQ(size > 1, group >= 0);
}

TEST(DemoWorld, DrawsSizesThatVary) {
  auto options = small_world("sizes");
  options.size = 0;
  write(options);
  auto const shards = io::ShardSet::open("sizes/train");
  std::int32_t least = 1000;
  std::int32_t most = 0;
  for (std::int64_t i = 0; i < shards.size(); ++i) {
    auto const image = shards.read_all(i);
    auto const mask = io::decode_raster(image.mask);
    EXPECT_EQ(std::pair(mask.width, mask.height), std::pair(image.width, image.height));
    least = std::min({least, image.width, image.height});
    most = std::max({most, image.width, image.height});
  }

  EXPECT_GE(least, 64);
  EXPECT_LE(most, 128);
  EXPECT_GT(most, least + 32);
}

}  // namespace
}  // namespace dino
