// SPDX-License-Identifier: Apache-2.0
// The layout of a shard (io/FORMATS.md, "Image shards"), shared by its writer and its readers;
// private to io/.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/hdf5.hpp"
#include "io/shards.hpp"

namespace dino::io {

namespace layout {
inline constexpr char const* format = "dino-hpc image shard";
inline constexpr std::int64_t version = 1;
}  // namespace layout

std::uint32_t crc32_of(std::span<std::byte const> bytes);

/// Encoded pictures of one kind (a group of the file): picture i is bytes [offset, offset + length)
/// of `data`.
struct PictureColumn {
  std::int64_t begin = 0;            ///< of `data` in the file, bytes
  std::vector<std::int64_t> offset;  ///< from `begin`, [images]
  std::vector<std::int64_t> length;  ///< 0: no picture, [images]
  std::vector<std::uint32_t> crc32;  ///< [images]
  bool present() const { return !length.empty(); }
};

/// All of a shard but the pictures themselves.
struct ShardIndex {
  ShardMetadata metadata;
  std::int64_t images = 0;
  PictureColumn image, mask, depth;
  std::vector<std::int32_t> label;  ///< -1: none; empty: no labels
  // read on request only:
  std::vector<std::string> key;
  std::vector<std::int32_t> width, height;
  std::vector<std::int64_t> duplicate;  ///< -1: none; empty: none at all
};

enum class IndexPart { places_and_labels, all };

/// Reads and checks an index: every extent inside the file, every checksum of a column right.
/// \throws Error (input) naming the file and what is wrong
ShardIndex read_shard_index(std::string const& path, IndexPart part, FileLocking locking);

/// Writes a column with its checksum as attribute.
template <class T>
void write_column(hid_t where, std::string const& name, std::vector<T> const& values) {
  hdf5::write_dataset(where, name, std::span<T const>(values));
  hdf5::write_attribute(hdf5::open_dataset(where, name).get(), "crc32",
                        crc32_of(std::as_bytes(std::span(values))));
}
void write_column(hid_t where, std::string const& name, std::vector<std::string> const& texts);

}  // namespace dino::io
