// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace dino::io {

constexpr std::int64_t checkpoint_header_bytes = 512;  // the least user block of HDF5
constexpr std::uint32_t checkpoint_version = 1;

/// The user block before the HDF5 part of a checkpoint: what proves that the rest is whole.
struct CheckpointHeader {
  std::uint32_t metadata_crc32 = 0;  ///< of bytes [512, data_begin)
  std::int64_t data_begin = 0;       ///< where the arrays begin, bytes
  std::int64_t file_bytes = 0;       ///< size of the whole file
};

std::array<std::byte, checkpoint_header_bytes> encode_checkpoint_header(
    CheckpointHeader const& header);
/// \throws Error (input) naming `path` where it is no header of this version, or damaged
CheckpointHeader decode_checkpoint_header(std::span<std::byte const, checkpoint_header_bytes> bytes,
                                          std::string const& path);

}  // namespace dino::io
