// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace dino::io {

/// One image on its way into a shard: encoded bytes and what is known about it.
struct ShardImage {
  std::string key;                        ///< path or name in the source
  std::vector<std::byte> bytes;           ///< JPEG or PNG file, unchanged
  std::int32_t width = 0, height = 0;     ///< pixels after EXIF orientation
  std::optional<std::int32_t> label;      ///< class index
  std::vector<std::byte> mask;            ///< PNG with a class per pixel, or empty
  std::vector<std::byte> depth;           ///< 16-bit PNG, or empty
  std::optional<std::int64_t> duplicate;  ///< id of the group of near-duplicates
};

struct ShardMetadata {
  std::vector<std::string> class_names;  ///< by label; empty: no labels
  double depth_units_per_metre = 0;      ///< 0: no depth
  std::string source;                    ///< where the images came from
};

/// Writes one shard; the file appears under its final name only when complete (`finish`), else not at all.
/// The layout is io/FORMATS.md, "Image shards".
class ShardWriter {
 public:
  ShardWriter(std::string path, ShardMetadata metadata);
  ShardWriter(ShardWriter&&) noexcept;
  ~ShardWriter();  ///< removes the unfinished file
  void add(ShardImage const& image);
  std::int64_t images() const;
  std::int64_t bytes() const;
  /// Checks, flushes to disk and renames. \throws Error (input) where the disk refuses
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Where one image lies, and its labels.
struct ShardEntry {
  std::int32_t file = 0;      ///< index into ShardSet::files
  std::int64_t offset = 0;    ///< bytes from the start of the file
  std::int64_t length = 0;    ///< bytes
  std::uint32_t crc32 = 0;    ///< of the encoded bytes
  std::int32_t label = -1;    ///< -1: none (as in the file)
};

enum class FileLocking { yes, no };

/// A set of shards opened for reading: the index in memory, image bytes read past HDF5 at their file
/// offsets, from any thread.
class ShardSet {
 public:
  /// Reads the index of every *.h5 shard of a folder (or of one file), in the order of their names.
  /// \throws Error (input) naming the file where one is unreadable or of another version
  static ShardSet open(std::string const& path, FileLocking locking = FileLocking::yes);
  /// For broadcasting: an index read on one rank, used on others.
  std::vector<std::byte> serialize() const;
  static ShardSet deserialize(std::span<std::byte const> bytes);
  /// The same files under another folder (node-local staging).
  ShardSet relocated(std::string const& folder) const;

  std::int64_t size() const;
  std::vector<std::string> const& files() const;
  ShardEntry const& entry(std::int64_t index) const;
  std::vector<std::string> const& class_names() const;
  bool labelled() const;

  /// The encoded bytes of an image; thread-safe. \throws Error (input) where bytes are missing or
  /// their checksum differs
  std::vector<std::byte> read(std::int64_t index) const;
  /// The encoded bytes of images [begin, end), adjacent ones in one system call. An image whose bytes
  /// are missing or whose checksum differs is empty, and `on_bad` gets its index and the message.
  std::vector<std::vector<std::byte>> read_block(
      std::int64_t begin, std::int64_t end,
      std::function<void(std::int64_t, std::string const&)> const& on_bad) const;
  /// Reads what the index leaves out, through HDF5: key, mask, depth, sizes. Slower; one thread.
  ShardImage read_all(std::int64_t index) const;

 private:
  struct State;
  std::shared_ptr<State const> state_;
};

/// What a shard says of itself. \throws Error (input) where its index is damaged
ShardMetadata read_shard_metadata(std::string const& path);

/// Re-reads a shard set: structure, checksums, and each image decoded. One line per fault.
struct VerifyReport {
  std::int64_t files = 0, images = 0;
  std::vector<std::string> faults;
};
/// Checks the files whose position is `part` modulo `parts`, for sharing the work over ranks.
VerifyReport verify_shards(std::string const& path, int part = 0, int parts = 1);

}  // namespace dino::io
