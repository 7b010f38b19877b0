// SPDX-License-Identifier: Apache-2.0
#include "comm/shared_file.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"

namespace dino {
namespace {

constexpr std::size_t piece_bytes = std::size_t{1} << 29;  // MPI counts are int

std::string mpi_text(int code) {
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  return std::string(text, static_cast<std::size_t>(length));
}

void check(int code, char const* action, std::string const& path) {
  require(code == MPI_SUCCESS, ExitCode::input, "cannot {} '{}': {}", action, path, mpi_text(code));
}

}  // namespace

SharedFile::SharedFile(std::string path) : path_(std::move(path)) {
  check(MPI_File_open(MPI_COMM_SELF, path_.c_str(), MPI_MODE_WRONLY, MPI_INFO_NULL, &raw_), "open",
        path_);
}

SharedFile::~SharedFile() {
  if (raw_ != MPI_FILE_NULL) MPI_File_close(&raw_);
}

void SharedFile::write_at(std::int64_t offset, std::span<std::byte const> bytes) {
  while (!bytes.empty()) {
    auto const piece = bytes.first(std::min(piece_bytes, bytes.size()));
    MPI_Status status;
    int written = 0;
    int const length = static_cast<int>(piece.size());
    check(MPI_File_write_at(raw_, offset, piece.data(), length, MPI_BYTE, &status), "write", path_);
    MPI_Get_count(&status, MPI_BYTE, &written);
    require(written == length, ExitCode::input,
            "cannot write '{}': {} of {} bytes were taken at offset {} (disk full, quota or file "
            "size limit?)",
            path_, written, length, offset);
    offset += length;
    bytes = bytes.subspan(piece.size());
  }
}

void SharedFile::sync() {
  check(MPI_File_sync(raw_), "flush to disk", path_);
}

}  // namespace dino
