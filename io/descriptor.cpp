// SPDX-License-Identifier: Apache-2.0
#include "io/descriptor.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/error.hpp"

namespace dino::io {
namespace {

void check(bool done, char const* action, std::string const& path) {
  if (!done) throw Error(ExitCode::input, system_error_text(action, path, errno));
}

}  // namespace

Descriptor open_for_reading(std::string const& path) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  check(static_cast<bool>(file), "open", path);
  return file;
}

Descriptor create_file(std::string const& path) {
  Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  check(static_cast<bool>(file), "create", path);
  return file;
}

MemoryFile::MemoryFile() {
  std::error_code error;
  bool const in_memory = std::filesystem::is_directory("/dev/shm", error);
  auto const folder =
      in_memory ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path();
  path_ = (folder / "dino_XXXXXX").string();
  descriptor_ = Descriptor(::mkostemp(path_.data(), O_CLOEXEC));
  check(static_cast<bool>(descriptor_), "create", path_);
}

void MemoryFile::forget_path() noexcept {
  if (!path_.empty()) ::unlink(path_.c_str());
  path_.clear();
}

std::int64_t file_size(Descriptor const& file, std::string const& path) {
  struct stat facts{};
  check(::fstat(file.get(), &facts) == 0, "examine", path);
  require(S_ISREG(facts.st_mode), ExitCode::input, "'{}' is no regular file", path);
  return facts.st_size;
}

void read_at(Descriptor const& file, std::string const& path, std::int64_t offset,
             std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    auto const got = ::pread(file.get(), bytes.data(), bytes.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    check(got >= 0, "read", path);
    require(got > 0, ExitCode::input,
            "cannot read '{}': it ends at byte {}, {} more were expected (truncated?)", path,
            offset, bytes.size());
    offset += got;
    bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
}

void write_at(Descriptor const& file, std::string const& path, std::int64_t offset,
              std::span<std::byte const> bytes) {
  while (!bytes.empty()) {
    auto const done = ::pwrite(file.get(), bytes.data(), bytes.size(), offset);
    if (done < 0 && errno == EINTR) continue;
    check(done > 0, "write", path);
    offset += done;
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
}

void reserve_space(Descriptor const& file, std::string const& path, std::int64_t bytes) {
  if (bytes == 0) return;
  if (::fallocate(file.get(), 0, 0, bytes) == 0) return;
  check(errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL, "claim disk space for", path);
  set_size(file, path, bytes);
}

void set_size(Descriptor const& file, std::string const& path, std::int64_t bytes) {
  check(::ftruncate(file.get(), bytes) == 0, "set the size of", path);
}

void sync_to_disk(Descriptor const& file, std::string const& path) {
  check(::fsync(file.get()) == 0, "flush to disk", path);
}

void sync_folder_of(std::string const& path) {
  auto const folder = (std::filesystem::path(path).parent_path() / ".").string();
  Descriptor const handle(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  check(static_cast<bool>(handle), "open the folder", folder);
  // Some network file systems refuse fsync on folders; their renames are durable at the server.
  check(::fsync(handle.get()) == 0 || errno == EINVAL || errno == ENOTSUP, "flush the folder",
        folder);
}

void rename_file(std::string const& from, std::string const& to) {
  check(std::rename(from.c_str(), to.c_str()) == 0, "rename to", to);
}

}  // namespace dino::io
