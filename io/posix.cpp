// SPDX-License-Identifier: Apache-2.0
#include "io/posix.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <vector>

#include "base/error.hpp"

namespace dino::io {
namespace {

[[noreturn]] void refuse(std::string const& action, std::string const& path) {
  throw Error(ExitCode::input, system_error_text(action, path, errno));
}

Fd open_or_throw(std::string const& path, int flags, std::string const& action) {
  constexpr mode_t readable_by_all = 0666;  // less the umask
  int const fd = ::open(path.c_str(), flags | O_CLOEXEC, readable_by_all);
  if (fd < 0) refuse(action, path);
  return Fd(fd);
}

}  // namespace

Fd open_to_read(std::string const& path) {
  return open_or_throw(path, O_RDONLY, "open");
}
Fd open_to_write(std::string const& path) {
  return open_or_throw(path, O_RDWR | O_CREAT | O_TRUNC, "write");
}
Fd open_to_update(std::string const& path) {
  return open_or_throw(path, O_RDWR, "write");
}

std::size_t read_at(int fd, std::string const& path, std::int64_t offset,
                    std::span<std::byte> bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    ssize_t const got =
        ::pread(fd, bytes.data() + done, bytes.size() - done, offset + static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse("read", path);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

void write_at(int fd, std::string const& path, std::int64_t offset,
              std::span<std::byte const> bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    ssize_t const put =
        ::pwrite(fd, bytes.data() + done, bytes.size() - done, offset + static_cast<off_t>(done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) refuse("write", path);
    done += static_cast<std::size_t>(put);
  }
}

void copy_bytes(int from, std::int64_t bytes, int to, std::int64_t offset,
                std::string const& path) {
  constexpr std::int64_t chunk = std::int64_t{1} << 20;
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min(bytes, chunk)));
  for (std::int64_t done = 0; done < bytes;) {
    auto const part =
        std::span(buffer).first(static_cast<std::size_t>(std::min(bytes - done, chunk)));
    require(read_at(from, path, done, part) == part.size(), ExitCode::input,
            "bytes of '{}' got lost on disk", path);
    write_at(to, path, offset + done, part);
    done += static_cast<std::int64_t>(part.size());
  }
}

std::int64_t file_bytes(int fd, std::string const& path) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) refuse("read", path);
  return status.st_size;
}

void sync_file(int fd, std::string const& path) {
  if (::fsync(fd) != 0) refuse("write", path);
}

void sync_folder(std::string const& folder) noexcept {
  Fd const fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd) static_cast<void>(::fsync(fd.get()));
}

void rename_file(std::string const& from, std::string const& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) refuse("rename to", to);
}

std::string folder_of(std::string const& path) {
  auto const folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

}  // namespace dino::io
