// SPDX-License-Identifier: Apache-2.0
#include "io/metrics.hpp"

#include <fcntl.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <optional>

#include "base/error.hpp"
#include "base/log.hpp"
#include "io/memory_file.hpp"
#include "io/metrics_file.hpp"
#include "io/posix.hpp"

namespace dino::io {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds flush_interval(500);

/// Keeps an unreadable file under the first free name beside it.
void keep_aside(std::string const& path, std::string const& reason) {
  auto const stem = fs::path(path).replace_extension().string();
  for (int i = 1;; ++i) {
    auto const other = fmt::format("{}_damaged_{}.h5", stem, i);
    if (fs::exists(other)) continue;
    rename_file(path, other);
    log::warning("metrics could not be read ({}). They are kept as '{}', and new ones begin",
                 reason, other);
    return;
  }
}

/// Rows of the file there is, those before `first_step`.
MetricsTables earlier_rows(std::string const& path, std::int64_t first_step) {
  MetricsTables tables;
  if (!fs::exists(path)) return tables;
  try {
    tables = read_metrics_file(path);
  } catch (Error const& error) {
    keep_aside(path, error.what());
    return {};
  }
  for (auto& [group, table] : tables) {
    auto const steps = table.at("step");
    for (auto& [name, column] : table) {
      std::size_t kept = 0;
      for (std::size_t i = 0; i < steps.size(); ++i) {
        if (steps[i] < static_cast<double>(first_step)) column[kept++] = column[i];
      }
      column.resize(kept);
    }
  }
  return tables;
}

/// Bytes that some rows may take in a file: whole chunks, and what HDF5 adds.
std::int64_t bytes_bound(MetricsTables const& tables) {
  std::int64_t bytes = 65536;
  for (auto const& [group, table] : tables) {
    bytes += std::ssize(table) * (static_cast<std::int64_t>(row_count(table)) * 8 + 16384);
  }
  return bytes;
}

/// Whether the disk takes `bytes` more for a file of `size` bytes. HDF5 does not outlive a full
/// disk that it meets while closing a file: it must not meet one.
bool has_room(std::string const& folder, std::int64_t size, std::int64_t bytes) {
  auto const path = (fs::path(folder) / ".metrics_room.unfinished").string();
  try {
    auto const file = open_to_write(path);
    reserve_space(file.get(), path, bytes);
    set_file_size(file.get(), path, size + bytes);
  } catch (Error const&) {
    fs::remove(path);
    return false;
  }
  fs::remove(path);
  return true;
}

}  // namespace

struct MetricsWriter::State {
  std::string path;
  std::optional<MetricsFile> file;
  MetricsTables waiting;  ///< rows that are not in the file yet
  Clock::time_point flushed = Clock::now();
  bool warned = false;

  void append(std::string const& group, std::int64_t step,
              std::map<std::string, double> const& values) {
    MetricsTable row{{"step", {static_cast<double>(step)}}};
    for (auto const& [name, value] : values) row[name] = {value};
    append_rows(waiting[group], row);
  }

  /// Rows with new columns need a new file: none can be added under SWMR.
  bool fits() const {
    for (auto const& [group, rows] : waiting) {
      if (!file->has_columns(group, rows)) return false;
    }
    return true;
  }

  void write() {
    if (fits()) {
      for (auto const& [group, rows] : waiting) file->append(group, rows);
      file->flush();
    } else {
      auto tables = read_metrics_file(path);
      for (auto const& [group, rows] : waiting) append_rows(tables[group], rows);
      MetricsFile fresh(path, tables);
      file = std::move(fresh);
    }
    waiting.clear();
  }

  void flush() {
    flushed = Clock::now();
    if (waiting.empty()) return;
    auto const size = static_cast<std::int64_t>(fs::file_size(path));
    bool const room = has_room(folder_of(path), size, bytes_bound(waiting) + (fits() ? 0 : size));
    if (!room && !warned) {
      log::warning("no room on the disk for '{}': metrics wait in memory. Free some space", path);
    }
    warned = !room;
    if (room) write();
  }
};

MetricsWriter::MetricsWriter(std::string const& path, std::int64_t first_step)
    : state_(std::make_unique<State>()) {
  state_->path = path;
  auto const rows = earlier_rows(path, first_step);
  auto const folder = folder_of(path);
  require(has_room(folder, 0, bytes_bound(rows)), ExitCode::input,
          "cannot write '{}': its folder is missing, not writable, or the disk is full", path);
  state_->file.emplace(path, rows);
}

MetricsWriter::MetricsWriter(MetricsWriter&&) noexcept = default;

MetricsWriter::~MetricsWriter() {
  if (!state_) return;
  try {
    state_->flush();
  } catch (Error const& error) {
    log::warning("the last metrics were lost: {}", error.what());
  }
}

void MetricsWriter::append_step(std::int64_t step, std::map<std::string, double> const& values) {
  state_->append("steps", step, values);
  if (Clock::now() - state_->flushed >= flush_interval) state_->flush();
}

void MetricsWriter::append_evaluation(std::int64_t step,
                                      std::map<std::string, double> const& values) {
  state_->append("evaluations", step, values);
  state_->flush();
}

void MetricsWriter::flush() {
  state_->flush();
}

std::map<std::string, std::vector<double>> read_metrics(std::string const& path,
                                                        std::string const& group) {
  auto tables = read_metrics_file(path);
  require(tables.contains(group), ExitCode::bug, "metrics have no group '{}'", group);
  return std::move(tables[group]);
}

}  // namespace dino::io
