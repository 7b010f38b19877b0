// SPDX-License-Identifier: Apache-2.0
#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <optional>
#include <set>

#include "base/error.hpp"
#include "comm/shared_file.hpp"
#include "io/checkpoint_layout.hpp"
#include "io/memory_file.hpp"

namespace dino::io {
namespace {

struct Fault {
  ExitCode code = ExitCode::finished;
  std::string text;
};

/// Runs this rank's part of the work; then every rank learns of the first rank that failed, if any.
std::optional<Fault> attempt(Communicator const& comm, std::function<void()> const& work) {
  std::string mine;
  try {
    work();
  } catch (std::exception const&) {
    auto const [text, code] = describe_current_exception();
    mine = static_cast<char>(code) + text;
  }
  std::vector<std::int64_t> lengths;
  auto const all = comm.all_gather_varying(std::as_bytes(std::span(mine)), &lengths);
  std::size_t begin = 0;
  for (std::size_t rank = 0; rank < lengths.size(); ++rank) {
    auto const length = static_cast<std::size_t>(lengths[rank]);
    if (length > 0) {
      std::string text(reinterpret_cast<char const*>(all.data()) + begin, length);
      auto const code = static_cast<ExitCode>(text[0]);
      return Fault{
          code, text.substr(1) + (comm.size() > 1 ? " (rank " + std::to_string(rank) + ")" : "")};
    }
    begin += length;
  }
  return std::nullopt;
}

void check_part(CheckpointPart const& part) {
  auto const elements = element_count(part.shape);
  auto const length = static_cast<std::int64_t>(part.values.size());
  require(part.offset >= 0 && (length == 0 || part.offset + length <= elements), ExitCode::bug,
          "elements [{}, {}) of '{}', which has {}", part.offset, part.offset + length, part.name,
          elements);
}

/// A number that is alike where the list of names and shapes is.
std::int64_t fingerprint(std::span<CheckpointPart const> parts) {
  std::uint32_t crc = crc32_of({});
  for (auto const& part : parts) {
    crc = crc32_of(std::as_bytes(std::span(part.name.c_str(), part.name.size() + 1)), crc);
    crc = crc32_of(std::as_bytes(std::span(part.shape)), crc);
  }
  return crc;
}

/// What one rank has of one array.
struct Contribution {
  std::int64_t array, offset, length;  ///< index; elements
  std::uint32_t crc32, unused = 0;
};

/// The contributions of all ranks by array and offset, on every rank.
std::vector<Contribution> gather_contributions(Communicator const& comm,
                                               std::span<CheckpointPart const> parts) {
  std::vector<Contribution> mine;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    auto const values = parts[i].values;
    if (values.empty()) continue;
    mine.push_back({static_cast<std::int64_t>(i), parts[i].offset,
                    static_cast<std::int64_t>(values.size()), crc32_of(std::as_bytes(values))});
  }
  auto const bytes = comm.all_gather_varying(std::as_bytes(std::span(mine)));
  std::vector<Contribution> all(bytes.size() / sizeof(Contribution));
  if (!bytes.empty()) std::memcpy(all.data(), bytes.data(), bytes.size());
  std::ranges::sort(all, {}, [](Contribution const& c) { return std::pair(c.array, c.offset); });
  return all;
}

/// Names, shapes and checksums of the whole arrays, which do not depend on how ranks share them.
/// \throws Error (bug), alike on all ranks, unless the parts cover every array exactly once
std::vector<CheckpointArray> combine(std::span<CheckpointPart const> parts,
                                     std::span<Contribution const> all) {
  std::vector<CheckpointArray> arrays;
  auto next = all.begin();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    CheckpointArray array{parts[i].name, parts[i].shape, crc32_of({})};
    std::int64_t covered = 0;
    for (; next != all.end() && next->array == static_cast<std::int64_t>(i); ++next) {
      require(next->offset == covered, ExitCode::bug,
              "parts of '{}' leave a gap or overlap at element {}", array.name, covered);
      covered += next->length;
      array.crc32 = static_cast<std::uint32_t>(
          ::crc32_combine(array.crc32, next->crc32, static_cast<z_off_t>(next->length * 4)));
    }
    require(covered == element_count(array.shape), ExitCode::bug,
            "parts of '{}' cover {} of its {} elements", array.name, covered,
            element_count(array.shape));
    arrays.push_back(std::move(array));
  }
  return arrays;
}

/// Checks that the ranks agree and that their parts make whole arrays. \throws Error (bug) alike on
/// all
std::vector<CheckpointArray> agree_on_arrays(Communicator const& comm,
                                             std::span<CheckpointPart const> parts) {
  auto const fault = attempt(comm, [&] {
    std::set<std::string_view> names;
    for (auto const& part : parts) {
      check_part(part);
      require(names.insert(part.name).second, ExitCode::bug,
              "two arrays of a checkpoint are named '{}'", part.name);
    }
  });
  if (fault) throw Error(fault->code, fault->text);
  auto const mine = fingerprint(parts);
  bool const alike = comm.max(mine) == -comm.max(-mine);
  require(alike, ExitCode::bug, "the ranks disagree on the arrays of a checkpoint");
  return combine(parts, gather_contributions(comm, parts));
}

/// Rank 0: the file with its final size and everything but the arrays. Returns where they belong.
std::vector<std::int64_t> start_file(std::string const& path,
                                     std::span<CheckpointArray const> arrays,
                                     CheckpointState const& state) {
  auto const file = open_to_write(path);
  // HDF5 does not outlive a file size limit that it meets while closing: meet it here.
  set_file_size(file.get(), path, checkpoint_bytes_bound(arrays, state));
  auto const head = build_checkpoint_head(arrays, state);
  reserve_space(file.get(), path, head.file_bytes);
  write_at(file.get(), path, 0, head.bytes);
  sync_file(file.get(), path);
  return head.offsets;
}

void write_parts(std::string const& path, std::span<CheckpointPart const> parts,
                 std::span<std::int64_t const> offsets) {
  SharedFile file(path);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    file.write_at(offsets[i] + parts[i].offset * 4, std::as_bytes(parts[i].values));
  }
  file.sync();
}

}  // namespace

void write_checkpoint(Communicator const& comm, std::string const& path,
                      std::span<CheckpointPart const> parts, CheckpointState const& state) {
  auto const arrays = agree_on_arrays(comm, parts);
  auto const unfinished = path + unfinished_suffix;
  std::vector<std::int64_t> offsets(arrays.size());
  auto fault = attempt(comm, [&] {
    if (comm.rank() == 0) offsets = start_file(unfinished, arrays, state);
  });
  if (!fault) {
    comm.broadcast(std::as_writable_bytes(std::span(offsets)));
    fault = attempt(comm, [&] { write_parts(unfinished, parts, offsets); });
  }
  if (!fault) {
    fault = attempt(comm, [&] {
      if (comm.rank() != 0) return;
      rename_file(unfinished, path);
      sync_folder(folder_of(path));
    });
  }
  if (fault) {
    if (comm.rank() == 0) std::remove(unfinished.c_str());
    comm.barrier();
    throw Error(fault->code, fault->text);
  }
}

}  // namespace dino::io
