// SPDX-License-Identifier: Apache-2.0
// Files by system calls, private to io/: every error carries action, path and reason.
#pragma once
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/handle.hpp"

namespace dino::io {

struct FdTraits {
  using Raw = int;
  static Raw null() noexcept { return -1; }
  static void close(Raw raw) noexcept { ::close(raw); }
};
using Fd = UniqueHandle<FdTraits>;

/// \throws Error (input) naming the path
Fd open_to_read(std::string const& path);
/// Makes a file, or truncates one; readable and writable. \throws Error (input) naming the path
Fd open_to_write(std::string const& path);
/// Opens a file that exists for reading and writing. \throws Error (input) naming the path
Fd open_to_update(std::string const& path);
/// Reads up to bytes.size() bytes at `offset`; fewer only at the end of the file. \throws Error
/// (input)
std::size_t read_at(int fd, std::string const& path, std::int64_t offset,
                    std::span<std::byte> bytes);
/// Writes all bytes at `offset`. \throws Error (input), e.g. where the disk is full
void write_at(int fd, std::string const& path, std::int64_t offset,
              std::span<std::byte const> bytes);
/// Copies the first `bytes` bytes of `from` to `offset` in `to`. \throws Error (input)
void copy_bytes(int from, std::int64_t bytes, int to, std::int64_t offset, std::string const& path);
/// Bytes of an open file. \throws Error (input)
std::int64_t file_bytes(int fd, std::string const& path);
/// Waits until contents are on disk. \throws Error (input)
void sync_file(int fd, std::string const& path);
/// Waits until the names in a folder are on disk; file systems that cannot are let be.
void sync_folder(std::string const& folder) noexcept;
/// \throws Error (input)
void rename_file(std::string const& from, std::string const& to);
/// The folder of a path, "." where it has none.
std::string folder_of(std::string const& path);

}  // namespace dino::io
