// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "io/shards.hpp"
#include "io/source.hpp"

namespace dino::io {

struct PackOptions {
  SourceOptions source;
  std::string out;                                     ///< folder of shards: missing or empty
  std::int64_t shard_bytes = std::int64_t{256} << 20;  ///< listed bytes of images per shard, about
  bool strict = false;                                 ///< an unreadable image is an error
};

struct PackReport {
  std::int64_t images = 0;  ///< packed
  std::int64_t bytes = 0;   ///< of their files
  std::int64_t shards = 0;
  std::int64_t classes = 0;  ///< 0: no labels
  std::int64_t masks = 0, depths = 0;
  double seconds = 0;
  std::vector<SkippedImage> skipped;  ///< in the order of their keys
};

/// Packs a source into OUT/shard_00000.h5, …, each image decoded once to see that it can be; those
/// that cannot are skipped and listed in the report and in OUT/skipped.txt. Collective; the shards
/// are shared out over the ranks, and are the same for any number of ranks. OUT appears when all is
/// complete: after an error or an interrupt (SIGINT, SIGTERM) there is nothing. A short progress
/// line every 10 s (rank 0).
/// \throws Error alike on all ranks: (usage) OUT is not empty; (input) an unreadable source, a full
/// disk,
///         no image at all, or with `strict` an unreadable one; (stopped) interrupted
PackReport pack(Communicator const& comm, PackOptions const& options);

/// Re-reads a shard set, the files shared out over the ranks; the same report on all ranks.
/// \throws Error (input) alike on all ranks where there are no shards

VerifyReport verify_shards(Communicator const& comm, std::string const& path);

}  // namespace dino::io
