// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace dino::io {

/// One regular file inside a tar.
struct TarMember {
  std::string path;           ///< as stored, without a leading "./"
  std::int64_t position = 0;  ///< of its header in the tar, bytes: where reading it starts
  std::int64_t bytes = 0;
};

/// The regular files of an uncompressed tar (ustar, pax or GNU), in their order.
/// \throws Error (input) where it is compressed, no tar, or damaged
std::vector<TarMember> list_tar(std::string const& path);

/// One member, found by its position, from a tar that is open as `fd`.
/// \throws Error (input) where something else is there now, or where its bytes end early
std::vector<std::byte> read_tar_member(int fd, std::string const& path, TarMember const& member);

}  // namespace dino::io
