// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>

#include "comm/communicator.hpp"

namespace dino::io {

/// How fast checkpoints go to and from a file system, over all ranks.
struct CheckpointFigure {
  std::int64_t bytes = 0;    ///< of the arrays
  double write_seconds = 0;  ///< checksums, writing, flushing to disk, renaming
  double check_seconds = 0;  ///< reading all bytes and comparing checksums
  double read_seconds = 0;   ///< each rank its part (the file may still be in the page cache)
  double gigabytes_per_second(double seconds) const {
    return seconds > 0 ? static_cast<double>(bytes) * 1e-9 / seconds : 0;
  }
};

/// Writes, checks and reads one checkpoint of about `bytes` in `folder`, then removes it. Half lies
/// in one array, the rest in 64 equal ones; every rank holds its share.
/// \throws Error (input) where the folder refuses, or (bug) where other values come back
CheckpointFigure measure_checkpoint(Communicator const& comm, std::string const& folder,
                                    std::int64_t bytes);

}  // namespace dino::io
