// SPDX-License-Identifier: Apache-2.0
#include "io/memory_file.hpp"

#include <fcntl.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "base/error.hpp"

namespace dino::io {
namespace {

void check(bool done, char const* action, std::string const& path) {
  if (!done) throw Error(ExitCode::input, system_error_text(action, path, errno));
}

}  // namespace

MemoryFile::MemoryFile() {
  std::error_code error;
  bool const in_memory = std::filesystem::is_directory("/dev/shm", error);
  auto const folder =
      in_memory ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path();
  path_ = (folder / "dino_XXXXXX").string();
  fd_ = Fd(::mkostemp(path_.data(), O_CLOEXEC));
  check(static_cast<bool>(fd_), "create", path_);
}

void MemoryFile::forget_path() noexcept {
  if (!path_.empty()) ::unlink(path_.c_str());
  path_.clear();
}

void set_file_size(int fd, std::string const& path, std::int64_t bytes) {
  check(::ftruncate(fd, bytes) == 0, "set the size of", path);
}

void reserve_space(int fd, std::string const& path, std::int64_t bytes) {
  set_file_size(fd, path, bytes);
  if (bytes == 0 || ::fallocate(fd, 0, 0, bytes) == 0) return;
  check(errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL, "claim disk space for", path);
}

}  // namespace dino::io
