// SPDX-License-Identifier: Apache-2.0
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "base/error.hpp"
#include "io/checkpoint_layout.hpp"
#include "io/posix.hpp"

namespace dino::io {
namespace {

constexpr std::int64_t piece_bytes = std::int64_t{8} << 20;

/// A consecutive range of one array, read and summed at once.
struct Piece {
  std::int64_t array, offset, length;  ///< index; bytes from the start of the file
};

/// Facts of the arrays as rank 0 found them, for all ranks.
struct Extent {
  std::int64_t offset, length;  ///< bytes
};

std::vector<Piece> cut(std::span<Extent const> extents) {
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < extents.size(); ++i) {
    for (std::int64_t begin = 0; begin < extents[i].length; begin += piece_bytes) {
      pieces.push_back({static_cast<std::int64_t>(i), extents[i].offset + begin,
                        std::min(piece_bytes, extents[i].length - begin)});
    }
  }
  return pieces;
}

/// Checksums of this rank's share of the pieces; the first fault in reading in words.
std::vector<std::uint32_t> checksums_of(std::string const& path, std::span<Piece const> pieces,
                                        std::string& fault) {
  std::vector<std::uint32_t> sums(pieces.size());
  try {
    auto const file = open_to_read(path);
    std::vector<std::byte> buffer;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      buffer.resize(static_cast<std::size_t>(pieces[i].length));
      read_exactly(file.get(), path, pieces[i].offset, buffer);
      sums[i] = crc32_of(buffer);
    }
  } catch (Error const& error) {
    fault = error.what();
  }
  return sums;
}

/// Checksums of all pieces on all ranks, each computed by one of them.
std::vector<std::uint32_t> share_checksums(Communicator const& comm, std::string const& path,
                                           std::span<Piece const> pieces, std::string& fault) {
  auto const share = share_of(static_cast<std::int64_t>(pieces.size()), comm.rank(), comm.size());
  auto const mine = checksums_of(
      path,
      pieces.subspan(static_cast<std::size_t>(share.begin), static_cast<std::size_t>(share.size())),
      fault);
  auto const bytes = comm.all_gather_varying(std::as_bytes(std::span(mine)));
  std::vector<std::uint32_t> all(pieces.size());
  if (!all.empty()) std::memcpy(all.data(), bytes.data(), bytes.size());
  return all;
}

/// Rank 0's view of the file, told to all; the fault in words where there is one.
std::string agree_on_head(Communicator const& comm, std::string const& path,
                          std::vector<Extent>& extents, std::vector<CheckpointArray>& arrays) {
  std::string fault;
  if (comm.rank() == 0) {
    try {
      auto contents = read_checkpoint_head(path);
      arrays = std::move(contents.summary.arrays);
      for (std::size_t i = 0; i < arrays.size(); ++i) {
        extents.push_back({contents.offsets[i], element_count(arrays[i].shape) * 4});
      }
    } catch (Error const& error) {
      fault = error.what();
    }
  }
  extents.resize(static_cast<std::size_t>(comm.max(static_cast<std::int64_t>(extents.size()))));
  comm.broadcast(std::as_writable_bytes(std::span(extents)));
  return comm.broadcast_text(fault);
}

/// The first array whose checksum differs, in words; empty: none. Rank 0 knows the arrays.
std::string compare(std::string const& path, std::span<CheckpointArray const> arrays,
                    std::span<Piece const> pieces, std::span<std::uint32_t const> sums) {
  std::size_t next = 0;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    auto crc = crc32_of({});
    for (; next < pieces.size() && pieces[next].array == static_cast<std::int64_t>(i); ++next) {
      crc = static_cast<std::uint32_t>(
          ::crc32_combine(crc, sums[next], static_cast<z_off_t>(pieces[next].length)));
    }
    if (crc != arrays[i].crc32) {
      return fmt::format("checkpoint '{}' is damaged: the checksum of the array '{}' differs", path,
                         arrays[i].name);
    }
  }
  return "";
}

/// An array by its name. \throws Error (input)
std::size_t find_array(CheckpointContents const& contents,
                       std::map<std::string, std::size_t> const& index, std::string const& path,
                       std::string const& name) {
  auto const found = index.find(name);
  require(found != index.end(), ExitCode::input,
          "checkpoint '{}' has no array '{}' (it has {} others)", path, name,
          contents.summary.arrays.size());
  return found->second;
}

std::map<std::string, std::size_t> index_of(CheckpointContents const& contents) {
  std::map<std::string, std::size_t> index;
  for (std::size_t i = 0; i < contents.summary.arrays.size(); ++i)
    index[contents.summary.arrays[i].name] = i;
  return index;
}

void check_request(CheckpointRequest const& request, CheckpointArray const& array,
                   std::string const& path) {
  require(request.shape == array.shape, ExitCode::input,
          "array '{}' of checkpoint '{}' has shape [{}], but [{}] is needed. Was it written with "
          "another model?",
          request.name, path, fmt::join(array.shape, ", "), fmt::join(request.shape, ", "));
  auto const length = static_cast<std::int64_t>(request.values.size());
  require(
      request.offset >= 0 && (length == 0 || request.offset + length <= element_count(array.shape)),
      ExitCode::bug, "elements [{}, {}) of '{}' were requested", request.offset,
      request.offset + length, request.name);
}

}  // namespace

CheckpointSummary read_checkpoint_summary(std::string const& path) {
  return read_checkpoint_head(path).summary;
}

std::optional<std::string> find_checkpoint_fault(Communicator const& comm,
                                                 std::string const& path) {
  std::vector<Extent> extents;
  std::vector<CheckpointArray> arrays;
  auto fault = agree_on_head(comm, path, extents, arrays);
  if (!fault.empty()) return fault;
  auto const pieces = cut(extents);
  auto const sums = share_checksums(comm, path, pieces, fault);
  if (comm.any(!fault.empty())) {
    return comm.broadcast_text(fault.empty() ? "cannot read '" + path + "' on every rank" : fault);
  }
  fault = comm.broadcast_text(compare(path, arrays, pieces, sums));
  return fault.empty() ? std::nullopt : std::optional(fault);
}

void read_checkpoint(std::string const& path, std::span<CheckpointRequest const> requests) {
  auto const contents = read_checkpoint_head(path);
  auto const index = index_of(contents);
  auto const file = open_to_read(path);
  for (auto const& request : requests) {
    auto const i = find_array(contents, index, path, request.name);
    check_request(request, contents.summary.arrays[i], path);
    read_exactly(file.get(), path, contents.offsets[i] + request.offset * 4,
                 std::as_writable_bytes(request.values));
  }
}

std::vector<float> read_checkpoint_array(std::string const& path, std::string const& name) {
  auto const contents = read_checkpoint_head(path);
  auto const i = find_array(contents, index_of(contents), path, name);
  auto const& array = contents.summary.arrays[i];
  std::vector<float> values(static_cast<std::size_t>(element_count(array.shape)));
  auto const bytes = std::as_writable_bytes(std::span(values));
  read_exactly(open_to_read(path).get(), path, contents.offsets[i], bytes);
  require(crc32_of(bytes) == array.crc32, ExitCode::input,
          "checkpoint '{}' is damaged: the checksum of the array '{}' differs", path, name);
  return values;
}

}  // namespace dino::io
