// SPDX-License-Identifier: Apache-2.0
#include "io/checkpoint_bench.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>

#include "base/error.hpp"
#include "io/checkpoint.hpp"

namespace dino::io {
namespace {

constexpr std::int64_t small_arrays = 64;

/// This rank's parts of arrays that hold `bytes` in all, their values kept in `storage`.
std::vector<CheckpointPart> make_parts(Communicator const& comm, std::int64_t bytes,
                                       std::vector<std::vector<float>>& storage) {
  auto const elements = bytes / 4;
  std::vector<CheckpointPart> parts;
  for (std::int64_t i = 0; i <= small_arrays; ++i) {
    auto const length = i == 0
                            ? elements - elements / 2
                            : share_of(elements / 2, static_cast<int>(i - 1), small_arrays).size();
    auto const share = share_of(length, comm.rank(), comm.size());
    auto& values = storage.emplace_back(static_cast<std::size_t>(share.size()));
    for (std::size_t k = 0; k < values.size(); ++k)
      values[k] = static_cast<float>((k * 2654435761U + static_cast<std::size_t>(i)) & 0xFFFFFFU);
    parts.push_back({fmt::format("student/array_{}", i), {length}, share.begin, values});
  }
  return parts;
}

/// Seconds of a collective action, by the slowest rank.
double seconds_of(Communicator const& comm, std::function<void()> const& action) {
  comm.barrier();
  auto const begin = std::chrono::steady_clock::now();
  action();
  return comm.max(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
}

void read_parts(std::string const& path, std::span<CheckpointPart const> parts,
                std::vector<std::vector<float>>& buffers) {
  std::vector<CheckpointRequest> requests;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    requests.push_back({parts[i].name, parts[i].shape, parts[i].offset, buffers[i]});
  }
  read_checkpoint(path, requests);
}

}  // namespace

CheckpointFigure measure_checkpoint(Communicator const& comm, std::string const& folder,
                                    std::int64_t bytes) {
  auto const path = (std::filesystem::path(folder) / "bench_checkpoint.h5").string();
  std::vector<std::vector<float>> storage;
  auto const parts = make_parts(comm, bytes, storage);
  auto buffers = storage;  // also touches the pages before the clock runs
  for (auto& buffer : buffers) std::ranges::fill(buffer, 0.0F);
  CheckpointFigure figure{.bytes = bytes / 4 * 4};
  figure.write_seconds = seconds_of(comm, [&] { write_checkpoint(comm, path, parts, {}); });
  std::optional<std::string> fault;
  figure.check_seconds = seconds_of(comm, [&] { fault = find_checkpoint_fault(comm, path); });
  figure.read_seconds = seconds_of(comm, [&] { read_parts(path, parts, buffers); });
  bool const same = buffers == storage;
  if (comm.rank() == 0) std::filesystem::remove(path);
  require(!fault, ExitCode::input, "{}", fault.value_or(""));
  require(!comm.any(!same), ExitCode::bug, "'{}' gave back other values", path);
  return figure;
}

}  // namespace dino::io
