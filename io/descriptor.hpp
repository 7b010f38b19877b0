// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/handle.hpp"

namespace dino::io {

struct DescriptorTraits {
  using Raw = int;
  static Raw null() noexcept { return -1; }
  static void close(Raw raw) noexcept { ::close(raw); }
};
/// Owner of a POSIX file descriptor.
using Descriptor = UniqueHandle<DescriptorTraits>;

/// \throws Error (input) with the reason of the system, as all below
Descriptor open_for_reading(std::string const& path);
/// Makes or empties a file.
Descriptor create_file(std::string const& path);

/// A file that lives in memory (as long as the object), for libraries that want a path.
class MemoryFile {
 public:
  MemoryFile();
  MemoryFile(MemoryFile const&) = delete;
  MemoryFile& operator=(MemoryFile const&) = delete;
  ~MemoryFile() { forget_path(); }
  std::string const& path() const { return path_; }
  Descriptor const& descriptor() const { return descriptor_; }
  /// Removes the name, so that nothing is left behind however the process ends.
  void forget_path() noexcept;

 private:
  std::string path_;
  Descriptor descriptor_;
};

std::int64_t file_size(Descriptor const& file, std::string const& path);
/// Fills `bytes` from `offset`; a shorter file is an error that names `path`.
void read_at(Descriptor const& file, std::string const& path, std::int64_t offset,
             std::span<std::byte> bytes);
void write_at(Descriptor const& file, std::string const& path, std::int64_t offset,
              std::span<std::byte const> bytes);
/// Sets the size, claiming the disk space where the file system can.
void reserve_space(Descriptor const& file, std::string const& path, std::int64_t bytes);
void set_size(Descriptor const& file, std::string const& path, std::int64_t bytes);
void sync_to_disk(Descriptor const& file, std::string const& path);
/// Makes names just created or renamed in the folder of `path` outlive a power cut.
void sync_folder_of(std::string const& path);
/// Atomically gives `from` the name `to`.
void rename_file(std::string const& from, std::string const& to);

}  // namespace dino::io
