// SPDX-License-Identifier: Apache-2.0
#include "io/archive.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.hpp"
#include "base/handle.hpp"
#include "io/posix.hpp"

namespace dino::io {
namespace {

struct ArchiveTraits {
  using Raw = archive*;
  static Raw null() noexcept { return nullptr; }
  static void close(Raw raw) noexcept { archive_read_free(raw); }
};
using Archive = UniqueHandle<ArchiveTraits>;

std::string reason(Archive const& tar) {
  char const* const text = archive_error_string(tar.get());
  return text != nullptr ? text : "unknown fault";
}

/// Reads on from where `fd` stands.
Archive open_here(int fd, std::string const& path) {
  constexpr std::size_t buffer = std::size_t{64} << 10;  // bytes per read
  Archive tar(archive_read_new());
  require(static_cast<bool>(tar), ExitCode::usage, "out of host memory");
  archive_read_support_format_tar(tar.get());
  require(archive_read_open_fd(tar.get(), fd, buffer) == ARCHIVE_OK, ExitCode::input,
          "'{}' is neither a folder nor a tar. A compressed archive must be unpacked first", path);
  return tar;
}

/// The name of a member in UTF-8 where the tar knows it, otherwise its bytes as stored.
std::string name_of(archive_entry* entry) {
  char const* name = archive_entry_pathname_utf8(entry);
  if (name == nullptr) name = archive_entry_pathname(entry);
  std::string path = name != nullptr ? name : "";
  while (path.starts_with("./")) path.erase(0, 2);
  return path;
}

/// Moves to the next header; null at the end.
archive_entry* next_entry(Archive const& tar, std::string const& path, std::string const& last) {
  archive_entry* entry = nullptr;
  int const status = archive_read_next_header(tar.get(), &entry);
  if (status == ARCHIVE_EOF) return nullptr;
  require(status == ARCHIVE_OK || status == ARCHIVE_WARN, ExitCode::input,
          "cannot read '{}' as a tar after member '{}': {}", path, last, reason(tar));
  return entry;
}

}  // namespace

std::vector<TarMember> list_tar(std::string const& path) {
  Fd const fd = open_to_read(path);
  auto const tar = open_here(fd.get(), path);
  std::vector<TarMember> members;
  std::string last;
  while (archive_entry* const entry = next_entry(tar, path, last)) {
    last = name_of(entry);
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr)
      continue;
    members.push_back({.path = last,
                       .position = archive_read_header_position(tar.get()),
                       .bytes = archive_entry_size(entry)});
  }
  return members;
}

std::vector<std::byte> read_tar_member(int fd, std::string const& path, TarMember const& member) {
  require(member.bytes >= 0 && member.bytes <= file_bytes(fd, path), ExitCode::input,
          "{} bytes are declared, more than '{}' holds", member.bytes, path);
  if (::lseek(fd, member.position, SEEK_SET) < 0) {
    throw Error(ExitCode::input, system_error_text("read", path, errno));
  }
  auto const tar = open_here(fd, path);
  archive_entry* const entry = next_entry(tar, path, member.path);
  require(entry != nullptr && name_of(entry) == member.path &&
              archive_entry_size(entry) == member.bytes,
          ExitCode::input, "'{}' changed while it was read", path);
  std::vector<std::byte> bytes(static_cast<std::size_t>(member.bytes));
  auto const got = archive_read_data(tar.get(), bytes.data(), bytes.size());
  require(got == member.bytes, ExitCode::input, "'{}' ends early: {} of {} bytes are there", path,
          got < 0 ? 0 : got, member.bytes);
  return bytes;
}

}  // namespace dino::io
