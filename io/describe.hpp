// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

namespace dino::io {

/// What `dino info` tells about a checkpoint: state, groups with their arrays, sizes; and whether
/// all checksums are right. \throws Error (input) where it is no readable checkpoint
std::string describe_checkpoint(std::string const& path);

/// What `dino info` tells about metrics: rows, steps, and the first and last value of each column.
/// \throws Error (input)
std::string describe_metrics(std::string const& path);

/// What `dino info` tells about a shard, or about the shards of a folder: images, classes, masks,
/// depth maps, sizes. \throws Error (input)
std::string describe_shards(std::string const& path);

struct Description {
  std::string text;
  bool sound = true;  ///< false: a checksum is wrong, the text says which
};
/// The description of any file of this program, or of a folder of shards. \throws Error (input)
/// where it is none
Description describe_file(std::string const& path);

}  // namespace dino::io
