// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "io/image.hpp"
#include "io/shards.hpp"

namespace dino {

/// Decodes images of a shard set; one that cannot be read or decoded is counted, logged once, and
/// replaced by the next readable one of the data set. Thread-safe.
class ImageSource {
 public:
  explicit ImageSource(io::ShardSet shards) : shards_(std::move(shards)) {}
  io::ShardSet const& shards() const { return shards_; }

  /// The encoded bytes of images [begin, begin + count); those of an unreadable image are empty.
  std::vector<std::vector<std::byte>> read(std::int64_t begin, std::int64_t count);

  /// How an image is decoded: given its encoded bytes.
  using Decode = std::function<io::Image(std::span<std::byte const>)>;
  struct Result {
    io::Image image;
    bool replaced = false;
  };
  /// Image `index`, whose bytes are given, or the first readable one after it (after the last comes
  /// the first): a pure function of the index. \throws Error (input) where `most_replacements` in a
  /// row fail
  Result decode(std::int64_t index, std::span<std::byte const> bytes, Decode const& decode);

  std::int64_t images_skipped() const;  ///< different unreadable images met so far
  static constexpr std::int64_t most_replacements = 64;

 private:
  void note_bad(std::int64_t index, std::string const& reason);

  io::ShardSet shards_;
  mutable std::mutex mutex_;
  std::set<std::int64_t> bad_;
};

}  // namespace dino
