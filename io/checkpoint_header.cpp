// SPDX-License-Identifier: Apache-2.0
#include "io/checkpoint_header.hpp"

#include <bit>
#include <cstring>
#include <string_view>

#include "base/error.hpp"
#include "io/checkpoint_layout.hpp"

namespace dino::io {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the user block and the arrays are little-endian");

constexpr std::string_view magic = "DINO-HPC checkpoint\n";

/// The fields in their order in the file.
struct Fields {
  char magic[24];
  std::uint32_t version;
  std::uint32_t metadata_crc32;
  std::int64_t data_begin;
  std::int64_t file_bytes;
  std::byte unused[460];
  std::uint32_t header_crc32;  ///< of all before it
};
static_assert(sizeof(Fields) == checkpoint_header_bytes);

std::uint32_t crc32_of_header(Fields const& fields) {
  return crc32_of(std::as_bytes(std::span(&fields, 1)).first(offsetof(Fields, header_crc32)));
}

}  // namespace

std::array<std::byte, checkpoint_header_bytes> encode_checkpoint_header(
    CheckpointHeader const& header) {
  Fields fields{};
  std::memcpy(fields.magic, magic.data(), magic.size());
  fields.version = checkpoint_version;
  fields.metadata_crc32 = header.metadata_crc32;
  fields.data_begin = header.data_begin;
  fields.file_bytes = header.file_bytes;
  fields.header_crc32 = crc32_of_header(fields);
  return std::bit_cast<std::array<std::byte, checkpoint_header_bytes>>(fields);
}

CheckpointHeader decode_checkpoint_header(std::span<std::byte const, checkpoint_header_bytes> bytes,
                                          std::string const& path) {
  Fields fields;
  std::memcpy(&fields, bytes.data(), sizeof fields);
  require(std::memcmp(fields.magic, magic.data(), magic.size()) == 0, ExitCode::input,
          "'{}' is no checkpoint of this program (its first bytes say something else)", path);
  require(crc32_of_header(fields) == fields.header_crc32, ExitCode::input,
          "checkpoint '{}' is damaged: the checksum of its header differs", path);
  require(fields.version == checkpoint_version, ExitCode::input,
          "checkpoint '{}' has format version {}; this program reads version {}", path,
          fields.version, checkpoint_version);
  require(fields.data_begin >= checkpoint_header_bytes && fields.data_begin <= fields.file_bytes,
          ExitCode::input, "checkpoint '{}' is damaged: its header contradicts itself", path);
  return {fields.metadata_crc32, fields.data_begin, fields.file_bytes};
}

}  // namespace dino::io
