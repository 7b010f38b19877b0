// SPDX-License-Identifier: Apache-2.0
#include "data/demo_world.hpp"

#include <algorithm>
#include <filesystem>

#include "base/error.hpp"
#include "base/philox.hpp"
#include "data/demo_scene.hpp"
#include "io/shards.hpp"

namespace dino {
namespace {

namespace fs = std::filesystem;

/// Raised when the same options draw other pictures than before.
constexpr int demo_version = 3;

/// Test scenes are numbered from here, so that no scene is in both splits. A multiple of the number
/// of classes.
constexpr std::int64_t first_test_scene = std::int64_t{demo_classes} << 40;

/// Streams of Philox(seed, synth, first_test_scene * 2 + split, ...), where no scene is.
enum Stream : std::uint32_t { group_sizes, order };

char const* name_of(DemoSplit split) {
  return split == DemoSplit::train ? "train" : "test";
}

/// What a shard's `source` says: all that its contents depend on.
std::string describe(DemoWorldOptions const& o) {
  return fmt::format(
      "dino synth, version {}: seed {}, {} training and {} test images, size {}, duplicate share "
      "{}, "
      "{} images per shard",
      demo_version, o.seed, o.train_images, o.test_images, o.size, o.duplicate_share,
      o.images_per_shard);
}

void validate(DemoWorldOptions const& o) {
  constexpr std::int64_t most_images = std::int64_t{1} << 32;
  auto const check = [](bool good, char const* name, auto value, char const* range) {
    require(good, ExitCode::usage, "invalid {} {}: it must be {}", name, value, range);
  };
  require(!o.out.empty(), ExitCode::usage, "no folder for the demo world. Try -o demo");
  check(o.train_images >= 1 && o.train_images <= most_images, "number of training images",
        o.train_images, "in 1 to 2^32");
  check(o.test_images >= 1 && o.test_images <= most_images, "number of test images", o.test_images,
        "in 1 to 2^32");
  check(o.size == 0 || (o.size >= 32 && o.size <= 1024), "picture size", o.size,
        "in 32 to 1024 pixels, or 0 for sizes that vary");
  check(o.seed >= 0, "seed", o.seed, "at least 0");
  check(o.duplicate_share >= 0 && o.duplicate_share <= 0.5, "share of duplicates",
        o.duplicate_share, "in 0 to 0.5");
  check(o.images_per_shard >= 1, "number of images per shard", o.images_per_shard, "at least 1");
}

struct Shard {
  DemoSplit split = DemoSplit::train;
  std::string path;
  std::int64_t begin = 0, end = 0;  ///< of the split's pictures
};

std::vector<Shard> plan_shards(DemoWorldOptions const& options) {
  std::vector<Shard> shards;
  for (auto const split : {DemoSplit::train, DemoSplit::test}) {
    auto const images = split == DemoSplit::train ? options.train_images : options.test_images;
    auto const step = options.images_per_shard;
    for (std::int64_t begin = 0; begin < images; begin += step) {
      auto path = fmt::format("{}/{}/shard_{:05}.h5", options.out, name_of(split), begin / step);
      shards.push_back({split, std::move(path), begin, std::min(begin + step, images)});
    }
  }
  return shards;
}

/// '1' for each shard that is there already, '0' for each to be written. \throws Error (usage)
/// where other shards are in the way
std::string find_complete(DemoWorldOptions const& options, std::vector<Shard> const& shards) {
  auto const refuse = [&](std::string const& path) {
    fail(ExitCode::usage,
         "'{}' is no shard of the demo world asked for ({}). Name another folder, or remove it",
         path, describe(options));
  };
  for (auto const split : {DemoSplit::train, DemoSplit::test}) {
    auto const folder = options.out + "/" + name_of(split);
    fs::create_directories(folder);
    for (auto const& entry : fs::directory_iterator(folder)) {
      auto const path = folder + "/" + entry.path().filename().string();
      if (entry.path().extension() == ".h5" &&
          std::ranges::find(shards, path, &Shard::path) == shards.end())
        refuse(path);
    }
  }
  std::string complete;
  for (auto const& shard : shards) {
    complete += fs::exists(shard.path) ? '1' : '0';
    if (complete.back() == '1' && io::read_shard_metadata(shard.path).source != describe(options))
      refuse(shard.path);
  }
  return complete;
}

io::ShardImage make_image(DemoWorldOptions const& options, DemoSplit split, DemoEntry const& entry,
                          std::int64_t index) {
  auto const seed = static_cast<std::uint64_t>(options.seed);
  auto const camera = make_demo_camera(seed, entry.scene, entry.variant, options.size);
  auto const picture = draw_demo_scene(make_demo_scene(seed, entry.scene), camera);
  auto const label = demo_label(entry.scene);
  io::ShardImage image;
  image.key = fmt::format("{}/{}_{:06}.jpg", name_of(split),
                          demo_class_names[static_cast<std::size_t>(label)], index);
  image.width = camera.width;
  image.height = camera.height;
  image.bytes = io::encode_jpeg(picture.image, camera.quality);
  image.mask = io::encode_png(picture.mask, 8);
  image.depth = io::encode_png(picture.depth, 16);
  image.label = label;
  if (entry.duplicate >= 0) image.duplicate = entry.duplicate;
  return image;
}

void write_shard(DemoWorldOptions const& options, Shard const& shard,
                 std::vector<DemoEntry> const& entries) {
  io::ShardMetadata metadata{.depth_units_per_metre = demo_units_per_metre,
                             .source = describe(options)};
  metadata.class_names.assign(demo_class_names.begin(), demo_class_names.end());
  io::ShardWriter writer(shard.path, metadata);
  for (auto i = shard.begin; i < shard.end; ++i)
    writer.add(make_image(options, shard.split, entries[static_cast<std::size_t>(i)], i));
  writer.finish();
}

}  // namespace

std::vector<DemoEntry> plan_demo_split(DemoWorldOptions const& options, DemoSplit split) {
  bool const train = split == DemoSplit::train;
  auto const images = train ? options.train_images : options.test_images;
  auto const again =
      static_cast<std::int64_t>(options.duplicate_share * static_cast<double>(images));
  auto const seed = static_cast<std::uint64_t>(options.seed);
  std::uint64_t const place = 2 * first_test_scene + (train ? 0 : 1);
  std::int64_t const first = train ? 0 : first_test_scene;

  std::vector<DemoEntry> entries;
  for (std::int64_t i = 0; i < images - again; ++i) entries.push_back({.scene = first + i});
  Philox sizes(seed, Purpose::synth, place, group_sizes);
  for (std::int64_t group = 0, left = again; left > 0; ++group) {
    auto& original = entries[static_cast<std::size_t>(group)];
    original.duplicate = original.scene;
    auto const copies = std::min(left, static_cast<std::int64_t>(1 + sizes.below(3)));
    for (std::int64_t v = 1; v <= copies; ++v)
      entries.push_back({original.scene, static_cast<std::uint32_t>(v), original.scene});
    left -= copies;
  }
  Philox places(seed, Purpose::synth, place, order);
  for (std::uint64_t i = entries.size(); i > 1; --i)
    std::swap(entries[i - 1], entries[places.below(i)]);
  return entries;
}

DemoWorldReport write_demo_world(Communicator const& comm, DemoWorldOptions const& options) {
  validate(options);
  auto const shards = plan_shards(options);
  std::string complete;
  on_rank_zero(comm, [&] { complete = find_complete(options, shards); });
  complete = comm.broadcast_text(complete);

  std::vector<DemoEntry> const entries[] = {plan_demo_split(options, DemoSplit::train),
                                            plan_demo_split(options, DemoSplit::test)};
  DemoWorldReport report{.images = options.train_images + options.test_images,
                         .shards = static_cast<std::int64_t>(shards.size())};
  std::int64_t bytes = 0;
  for (std::size_t i = 0, written = 0; i < shards.size(); ++i) {
    bool const mine =
        static_cast<std::size_t>(comm.rank()) == written % static_cast<std::size_t>(comm.size());
    if (complete[i] == '0') {
      ++written;
      ++report.written;
      if (mine) write_shard(options, shards[i], entries[static_cast<std::size_t>(shards[i].split)]);
    }
    if (complete[i] == '0' ? mine : comm.rank() == 0)
      bytes += static_cast<std::int64_t>(fs::file_size(shards[i].path));
  }
  report.bytes = comm.sum(bytes);
  return report;
}

}  // namespace dino
