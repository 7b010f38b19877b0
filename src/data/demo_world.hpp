// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.hpp"

namespace dino {

struct DemoWorldOptions {
  std::string out;                   ///< folder; the shards go to OUT/train and OUT/test
  std::int64_t train_images = 6000;  ///< >= 1
  std::int64_t test_images = 1200;   ///< >= 1
  std::int64_t size = 96;            ///< pixels of both sides, in [32, 1024]; 0: each in [64, 128]
  std::int64_t seed = 0;             ///< >= 0
  double duplicate_share = 0.05;     ///< of the images of each split, in [0, 0.5]
  std::int64_t images_per_shard = 500;  ///< >= 1
};

struct DemoWorldReport {
  std::int64_t images = 0;
  std::int64_t shards = 0;
  std::int64_t bytes = 0;    ///< of the shards
  std::int64_t written = 0;  ///< shards that were not there before
};

/// Writes the embedded demo world: drawn pictures (JPEG) of one of twelve kinds of object each,
/// with label, mask of classes, depth map, and groups of near-duplicates. What is seen tells the
/// class by its outline and by the family of its pattern; colours, place, pose and background tell
/// nothing. Every picture is a pure function of (seed, its number): the files are the same, byte
/// for byte, whatever the number of ranks, which share out the shards. Shards of the same options
/// that are there already are kept, so a run that was killed goes on, and a complete set is left
/// alone. Collective. \throws Error (usage) alike on all ranks where an option is out of range, or
/// OUT holds other
///         shards; (input) where the disk refuses
DemoWorldReport write_demo_world(Communicator const& comm, DemoWorldOptions const& options);

/// One picture of a split: a scene, seen for the first time or again.
struct DemoEntry {
  std::int64_t scene = 0;
  std::uint32_t variant = 0;    ///< 0: the first; others: near-duplicates
  std::int64_t duplicate = -1;  ///< group of near-duplicates: the scene of all; -1: none
};

enum class DemoSplit : std::uint8_t { train, test };

/// The pictures of a split in their order, the same on every rank.
std::vector<DemoEntry> plan_demo_split(DemoWorldOptions const& options, DemoSplit split);

}  // namespace dino
