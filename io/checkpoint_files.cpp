// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>

#include "base/error.hpp"
#include "base/log.hpp"
#include "io/checkpoint_layout.hpp"
#include "io/posix.hpp"

namespace dino::io {
namespace {

namespace fs = std::filesystem;

/// The step in "checkpoint_<step>.h5"; nothing for other names.
std::optional<std::int64_t> step_of(std::string_view name) {
  constexpr std::string_view prefix = "checkpoint_";
  constexpr std::string_view suffix = ".h5";
  if (!name.starts_with(prefix) || !name.ends_with(suffix)) return std::nullopt;
  auto const digits = name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
  std::int64_t step = 0;
  auto const [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  bool const whole = fault == std::errc() && end == digits.data() + digits.size() && step >= 0 &&
                     digits.size() >= 9;
  return whole ? std::optional(step) : std::nullopt;
}

/// Names in a folder; none where it cannot be listed.
std::vector<std::string> names_in(std::string const& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  return names;
}

void remove_or_warn(fs::path const& path) {
  std::error_code error;
  fs::remove(path, error);
  if (error) log::warning("cannot remove '{}': {}", path.string(), error.message());
}

/// Removes what runs that were killed while saving left behind.
void remove_unfinished(std::string const& run_dir) {
  for (auto const& name : names_in(run_dir)) {
    if (name.starts_with("checkpoint_") && name.ends_with(unfinished_suffix))
      remove_or_warn(fs::path(run_dir) / name);
  }
}

void point_latest_at(std::string const& run_dir, std::int64_t step) {
  auto const link = fs::path(run_dir) / "latest.h5";
  auto const fresh = link.string() + unfinished_suffix;
  std::error_code error;
  fs::remove(fresh, error);
  fs::create_symlink(fs::path(checkpoint_path("", step)).filename(), fresh, error);
  require(!error, ExitCode::input, "cannot create the link '{}': {}", fresh, error.message());
  rename_file(fresh, link.string());
  sync_folder(run_dir);
}

}  // namespace

std::string checkpoint_path(std::string const& run_dir, std::int64_t step) {
  return (fs::path(run_dir) / fmt::format("checkpoint_{:09}.h5", step)).string();
}

void publish_checkpoint(std::string const& run_dir, std::int64_t step, std::int64_t keep_last,
                        std::int64_t keep_every) {
  point_latest_at(run_dir, step);
  std::int64_t newer = 0;
  for (auto const other : list_checkpoints(run_dir)) {
    bool const keep =
        other == step || newer < keep_last || (keep_every > 0 && other % keep_every == 0);
    ++newer;
    if (!keep) remove_or_warn(checkpoint_path(run_dir, other));
  }
  remove_unfinished(run_dir);
}

std::vector<std::int64_t> list_checkpoints(std::string const& run_dir) {
  std::vector<std::int64_t> steps;
  for (auto const& name : names_in(run_dir)) {
    if (auto const step = step_of(name)) steps.push_back(*step);
  }
  std::ranges::sort(steps, std::greater());
  return steps;
}

}  // namespace dino::io
