// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>

#include "io/posix.hpp"

namespace dino::io {

/// A file that lives in memory (as long as the object), for libraries that want a path.
class MemoryFile {
 public:
  /// \throws Error (input) where neither /dev/shm nor the folder for temporary files takes it
  MemoryFile();
  MemoryFile(MemoryFile const&) = delete;
  MemoryFile& operator=(MemoryFile const&) = delete;
  ~MemoryFile() { forget_path(); }
  std::string const& path() const { return path_; }
  int fd() const { return fd_.get(); }
  /// Removes the name, so that nothing is left behind however the process ends.
  void forget_path() noexcept;

 private:
  std::string path_;
  Fd fd_;
};

/// Sets the size of a file. \throws Error (input)
void set_file_size(int fd, std::string const& path, std::int64_t bytes);
/// Sets the size of a file and claims its disk space, where the file system can. \throws Error
/// (input)
void reserve_space(int fd, std::string const& path, std::int64_t bytes);

}  // namespace dino::io
