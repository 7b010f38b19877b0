// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace dino {

/// One rank's hold of a file that many ranks write through MPI-IO, each at its own places.
/// Every call is this rank's alone, so a rank that fails can say so: with the collective calls of
/// MPI-IO (Open MPI 4.1, ompio) a full disk is reported as success or hangs the other ranks, at the
/// same speed. The ranks agree on the outcome through a Communicator.
class SharedFile {
 public:
  /// Opens an existing file for writing. \throws Error (input) with MPI's reason
  explicit SharedFile(std::string path);
  SharedFile(SharedFile const&) = delete;
  SharedFile& operator=(SharedFile const&) = delete;
  ~SharedFile();

  /// Writes bytes at `offset` of the file; any length. \throws Error (input) where less is taken
  void write_at(std::int64_t offset, std::span<std::byte const> bytes);
  /// Waits until this rank's writes are on the disk. \throws Error (input)
  void sync();

 private:
  std::string path_;
  MPI_File raw_ = MPI_FILE_NULL;
};

}  // namespace dino
