// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/checkpoint.hpp"

namespace dino::io {

constexpr char const* unfinished_suffix = ".unfinished";  ///< of a file until it is complete

/// Number of elements of a shape; 1 for a scalar.
std::int64_t element_count(std::span<std::int64_t const> shape);

/// Fills `bytes` from `offset` of a file. \throws Error (input) where the file ends before
void read_exactly(int fd, std::string const& path, std::int64_t offset, std::span<std::byte> bytes);

/// CRC-32 (zlib's) of bytes, going on from `crc`.
std::uint32_t crc32_of(std::span<std::byte const> bytes, std::uint32_t crc = 0);

/// All of a checkpoint but the contents of its arrays: io/FORMATS.md, "Checkpoints".
struct CheckpointHead {
  std::vector<std::byte> bytes;       ///< the file up to the first array
  std::vector<std::int64_t> offsets;  ///< bytes from the start of the file, one per array
  std::int64_t file_bytes = 0;
};

/// No checkpoint of these arrays is larger (its table has the longest name in every row), bytes.
std::int64_t checkpoint_bytes_bound(std::span<CheckpointArray const> arrays,
                                    CheckpointState const& state);

/// Lays a file out in memory. \throws Error (bug) where HDF5 or a name is refused
CheckpointHead build_checkpoint_head(std::span<CheckpointArray const> arrays,
                                     CheckpointState const& state);

/// A head read back and checked against its checksums before HDF5 sees any of it.
struct CheckpointContents {
  CheckpointSummary summary;
  std::vector<std::int64_t> offsets;  ///< of summary.arrays
};
/// \throws Error (input) where the file is no checkpoint, damaged, truncated or of another version
CheckpointContents read_checkpoint_head(std::string const& path);

}  // namespace dino::io
