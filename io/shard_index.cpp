// SPDX-License-Identifier: Apache-2.0
#include "io/shard_index.hpp"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <set>

namespace dino::io {
namespace {

std::uint32_t crc32_of_texts(std::vector<std::string> const& texts) {
  auto const fields = hdf5::padded_fields(texts);
  return crc32_of(std::as_bytes(std::span(fields)));
}

void check_column(hid_t where, std::string const& name, std::uint32_t crc, std::size_t count,
                  std::int64_t images) {
  require(static_cast<std::int64_t>(count) == images, ExitCode::input,
          "column '{}' has {} rows for {} images", name, count, images);
  auto const stored =
      hdf5::read_attribute<std::uint32_t>(hdf5::open_dataset(where, name).get(), "crc32");
  require(crc == stored, ExitCode::input, "the checksum of column '{}' differs", name);
}

template <class T>
std::vector<T> read_column(hid_t where, std::string const& name, std::int64_t images) {
  auto values = hdf5::read_dataset<T>(where, name);
  check_column(where, name, crc32_of(std::as_bytes(std::span(values))), values.size(), images);
  return values;
}

std::vector<std::string> read_text_column(hid_t where, std::string const& name,
                                          std::int64_t images) {
  auto texts = hdf5::read_texts(where, name);
  check_column(where, name, crc32_of_texts(texts), texts.size(), images);
  return texts;
}

PictureColumn read_pictures(hid_t file, std::string const& name, std::int64_t images) {
  auto const group = hdf5::open_group(file, name);
  auto const data = hdf5::extent_of(hdf5::open_dataset(group.get(), "data").get());
  PictureColumn column{.begin = data.offset,
                       .offset = read_column<std::int64_t>(group.get(), "offset", images),
                       .length = read_column<std::int64_t>(group.get(), "length", images),
                       .crc32 = read_column<std::uint32_t>(group.get(), "crc32", images)};
  for (std::size_t i = 0; i < column.offset.size(); ++i) {
    require(column.length[i] >= 0 && column.offset[i] >= 0 && column.offset[i] <= data.bytes &&
                column.length[i] <= data.bytes - column.offset[i],
            ExitCode::input, "picture {} of '{}' lies outside of its data", i, name);
  }
  return column;
}

void read_header(hid_t file, ShardIndex& index) {
  require(hdf5::has_attribute(file, "format") &&
              hdf5::read_text_attribute(file, "format") == layout::format,
          ExitCode::input, "it is no image shard. Make shards with dino pack");
  auto const version = hdf5::read_attribute<std::int64_t>(file, "version");
  require(version == layout::version, ExitCode::input,
          "it has version {}, but this program reads version {}", version, layout::version);
  index.images = hdf5::read_attribute<std::int64_t>(file, "images");
  require(index.images >= 0, ExitCode::input, "it declares {} images", index.images);
  index.metadata.source = hdf5::read_text_attribute(file, "source");
  index.metadata.depth_units_per_metre =
      hdf5::read_attribute<double>(file, "depth_units_per_metre");
}

void read_labels(hid_t file, ShardIndex& index) {
  if (!hdf5::has_link(file, "class_names")) return;
  auto const names = hdf5::shape_of(hdf5::open_dataset(file, "class_names").get());
  index.metadata.class_names = read_text_column(file, "class_names", names.empty() ? 0 : names[0]);
  index.label = read_column<std::int32_t>(file, "label", index.images);
  auto const classes = static_cast<std::int64_t>(index.metadata.class_names.size());
  for (auto const label : index.label) {
    require(label >= -1 && label < classes, ExitCode::input,
            "label {} is outside of its {} classes", label, classes);
  }
}

ShardIndex read_open_file(hid_t file, IndexPart part) {
  ShardIndex index;
  read_header(file, index);
  index.image = read_pictures(file, "image", index.images);
  read_labels(file, index);
  if (part == IndexPart::places_and_labels) return index;
  if (hdf5::has_link(file, "mask")) index.mask = read_pictures(file, "mask", index.images);
  if (hdf5::has_link(file, "depth")) index.depth = read_pictures(file, "depth", index.images);
  index.key = read_text_column(file, "key", index.images);
  index.width = read_column<std::int32_t>(file, "width", index.images);
  index.height = read_column<std::int32_t>(file, "height", index.images);
  if (hdf5::has_link(file, "duplicate")) {
    index.duplicate = read_column<std::int64_t>(file, "duplicate", index.images);
  }
  return index;
}

}  // namespace

std::uint32_t crc32_of(std::span<std::byte const> bytes) {
  return static_cast<std::uint32_t>(
      crc32_z(0, reinterpret_cast<Bytef const*>(bytes.data()), bytes.size()));
}

void write_column(hid_t where, std::string const& name, std::vector<std::string> const& texts) {
  hdf5::write_texts(where, name, texts);
  hdf5::write_attribute(hdf5::open_dataset(where, name).get(), "crc32", crc32_of_texts(texts));
}

ShardIndex read_shard_index(std::string const& path, IndexPart part, FileLocking locking) {
  auto const properties = hdf5::property_list(H5P_FILE_ACCESS);
  if (locking == FileLocking::no) {
    hdf5::hdf5_check(H5Pset_file_locking(properties.get(), 0, 1), "turn file locking off");
  }
  auto const file = hdf5::open_file(path, hdf5::Access::read, properties.get());
  try {
    return read_open_file(file.get(), part);
  } catch (Error const& error) {
    fail(error.code(), "shard '{}': {}", path, error.what());
  }
}

ShardMetadata read_shard_metadata(std::string const& path) {
  return read_shard_index(path, IndexPart::all, FileLocking::no).metadata;
}

}  // namespace dino::io
