// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.hpp"

namespace dino::io {

/// This rank's part of one array of a checkpoint: elements [offset, offset + values.size()) of the
/// row-major array. Parts of different ranks do not overlap; a rank without a part gives an empty one.
struct CheckpointPart {
  std::string name;                 ///< path below the root, e.g. "student/backbone.cls_token"
  std::vector<std::int64_t> shape;  ///< of the whole array
  std::int64_t offset = 0;          ///< elements
  std::span<float const> values;
};

/// Small facts of a run, alike on all ranks: stored as attributes of the group /state.
struct CheckpointState {
  std::map<std::string, std::int64_t> integers;
  std::map<std::string, double> reals;
  std::map<std::string, std::string> texts;
};

/// Writes one new file, collectively over `comm`, through MPI-IO: every array under its own name and
/// shape with a CRC-32 of its contents, then fsync and rename. All ranks pass the same list of names
/// in the same order. Nothing stays under `path` unless it is complete. Layout: io/FORMATS.md.
/// \throws Error (input) alike on all ranks where the file system refuses (full disk, no permission)
void write_checkpoint(Communicator const& comm, std::string const& path, std::span<CheckpointPart const> parts,
                      CheckpointState const& state);

/// What is to be read: this rank's part of an array, whatever the rank count that wrote it.
struct CheckpointRequest {
  std::string name;
  std::vector<std::int64_t> shape;
  std::int64_t offset = 0;
  std::span<float> values;
};

/// Structure and state of a checkpoint, readable on one rank.
struct CheckpointArray {
  std::string name;
  std::vector<std::int64_t> shape;
  std::uint32_t crc32 = 0;
};
struct CheckpointSummary {
  CheckpointState state;
  std::vector<CheckpointArray> arrays;
};
/// \throws Error (input) where the file is no checkpoint, truncated or of another version
CheckpointSummary read_checkpoint_summary(std::string const& path);

/// Re-reads everything and compares checksums (the work is shared over `comm`). The first fault in
/// words, alike on all ranks, or nothing. Never throws on a corrupt file.
std::optional<std::string> find_checkpoint_fault(Communicator const& comm, std::string const& path);

/// Reads parts; every rank reads its own. \throws Error (input) naming file and array where one is
/// missing or has another shape
void read_checkpoint(std::string const& path, std::span<CheckpointRequest const> requests);

/// One whole array. \throws Error (input)
std::vector<float> read_checkpoint_array(std::string const& path, std::string const& name);

/// Checkpoints of a run directory: `checkpoint_<step>.h5`, 9 digits, and the link `latest.h5`.
std::string checkpoint_path(std::string const& run_dir, std::int64_t step);
/// Points `latest.h5` at the checkpoint of `step` (atomically), then deletes what retention does not
/// keep (the newest `keep_last`, multiples of `keep_every` (0: none), and this one), and what killed
/// runs left unfinished. Rank 0 only, while nothing is being saved. \throws Error (input)
void publish_checkpoint(std::string const& run_dir, std::int64_t step, std::int64_t keep_last, std::int64_t keep_every);
/// Steps that have a checkpoint file, newest first; unfinished files do not count. Changes nothing.
std::vector<std::int64_t> list_checkpoints(std::string const& run_dir);

}  // namespace dino::io
