// SPDX-License-Identifier: Apache-2.0
#include "eval/patch_probe.hpp"

#include <gtest/gtest.h>

#include "io/image.hpp"
#include "support/expect_refusal.hpp"

namespace dino {
namespace {

/// Patches that point right (class 0) or up (class 1).
PatchFeatures image_of(std::int64_t image, std::vector<int> const& up) {
  PatchFeatures out{.image = image, .side = 2, .dim = 2, .patches = {}, .class_token = {1, 0}};
  for (auto const is_up : up) {
    out.patches.push_back(is_up != 0 ? 0.0F : 1.0F);
    out.patches.push_back(is_up != 0 ? 1.0F : 0.0F);
  }
  return out;
}

TEST(PatchProbe, ClassifiesPatchesOfOddImagesByThoseOfEvenOnes) {
  std::vector<PatchFeatures> const features{image_of(0, {0, 0, 1, 1}), image_of(1, {0, 1, 0, 1})};
  std::vector<PatchLabels> const labels{{0, {0, 0, 1, 1}}, {1, {0, 1, 1, 1}}};

  auto const probe = probe_patches(Communicator::self(), features, labels, 1, 0.07);

  EXPECT_DOUBLE_EQ(probe.accuracy, 75.0);
  // Class 0: 1 right, 2 given, 1 there: 1/2. Class 1: 2 right, 2 given, 3 there: 2/3.
  EXPECT_DOUBLE_EQ(probe.mean_iou, 100 * (1.0 / 2 + 2.0 / 3) / 2);
}

TEST(PatchProbe, LeavesOutWhatIsNotLabelled) {
  std::vector<PatchFeatures> const features{image_of(0, {0, 0, 1, 1}), image_of(1, {0, 1, 0, 1})};
  std::vector<PatchLabels> const labels{{0, {0, -1, 1, -1}}, {1, {0, 1, -1, 1}}};

  auto const probe = probe_patches(Communicator::self(), features, labels, 1, 0.07);

  EXPECT_DOUBLE_EQ(probe.accuracy, 100.0);
  EXPECT_DOUBLE_EQ(probe.mean_iou, 100.0);
}

TEST(PatchProbe, RefusesImagesWithoutAnyLabel) {
  std::vector<PatchFeatures> const features{image_of(0, {0, 0, 1, 1}), image_of(1, {0, 1, 0, 1})};
  std::vector<PatchLabels> const labels{{0, {0, 0, 1, 1}}, {1, {-1, -1, -1, -1}}};

  expect_refusal([&] { probe_patches(Communicator::self(), features, labels, 1, 0.07); },
                 ExitCode::usage, "no patch of the images of monitor.dense_shards is labelled");
}

/// A set of one image, 8 wide and 4 high, with the mask that is given row by row.
io::ShardSet shard_of(std::string const& path, std::vector<std::uint16_t> const& mask) {
  io::ShardWriter writer(path,
                         {.class_names = {"a"}, .depth_units_per_metre = 0, .source = "test"});
  io::Image image{.width = 8, .height = 4, .pixels = std::vector<std::uint8_t>(96, 100)};
  io::ShardImage row{.key = "image",
                     .bytes = io::encode_png(image),
                     .width = 8,
                     .height = 4,
                     .label = 0,
                     .mask = {},
                     .depth = {},
                     .duplicate = std::nullopt};
  if (!mask.empty())
    row.mask = io::encode_png(io::Raster{.width = 8, .height = 4, .values = mask}, 8);
  writer.add(row);
  writer.finish();
  return io::ShardSet::open(path);
}

TEST(PatchLabels, AreThoseOfTheMiddleAsTheImageIsCropped) {
  std::vector<std::uint16_t> mask;
  for (int y = 0; y < 4; ++y)
    for (int x = 0; x < 8; ++x)
      mask.push_back(static_cast<std::uint16_t>(y < 2 ? x / 2 : (x < 4 ? 255 : 5)));
  auto const shards = shard_of("labels.h5", mask);
  std::int64_t const image = 0;

  // 4 pixels become 8; the middle 8 of 16 columns are the mask's columns 2 to 5.
  auto const labels =
      load_patch_labels(Communicator::self(), shards, std::span(&image, 1),
                        {.resize_size = 8, .crop_size = 8, .mean = {}, .std = {}}, 4);

  ASSERT_EQ(labels.size(), 1U);
  EXPECT_EQ(labels[0].classes, (std::vector<std::int64_t>{1, 2, -1, 5}));
}

TEST(PatchLabels, NeedMasks) {
  auto const shards = shard_of("bare.h5", {});
  std::int64_t const image = 0;

  expect_refusal(
      [&] {
        load_patch_labels(Communicator::self(), shards, std::span(&image, 1),
                          {.resize_size = 8, .crop_size = 8, .mean = {}, .std = {}}, 4);
      },
      ExitCode::usage, "has no mask, which monitor.dense_probe needs");
}

}  // namespace
}  // namespace dino
