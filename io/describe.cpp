// SPDX-License-Identifier: Apache-2.0
#include "io/describe.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "io/checkpoint.hpp"
#include "io/checkpoint_layout.hpp"
#include "io/metrics.hpp"

namespace dino::io {
namespace {

std::string readable_bytes(double bytes) {
  char const* const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < std::size(units); ++unit) bytes /= 1024;
  return unit == 0 ? fmt::format("{:.0f} bytes", bytes)
                   : fmt::format("{:.1f} {}", bytes, units[unit]);
}

/// A text on one line, shortened to what a terminal shows.
std::string shortened(std::string text) {
  constexpr std::size_t longest = 60;
  std::ranges::replace(text, '\n', ' ');
  return text.size() <= longest
             ? text
             : fmt::format("{}... ({} characters)", text.substr(0, longest), text.size());
}

std::string describe_state(CheckpointState const& state) {
  std::string text;
  for (auto const& [name, value] : state.integers)
    text += fmt::format("  {:<28} {}\n", name, value);
  for (auto const& [name, value] : state.reals) text += fmt::format("  {:<28} {}\n", name, value);
  for (auto const& [name, value] : state.texts)
    text += fmt::format("  {:<28} {}\n", name, shortened(value));
  return text;
}

struct Total {
  std::int64_t arrays = 0, elements = 0;
};

std::map<std::string, Total> totals_by_group(CheckpointSummary const& summary) {
  std::map<std::string, Total> totals;
  for (auto const& array : summary.arrays) {
    auto& total = totals[array.name.substr(0, array.name.find('/'))];
    ++total.arrays;
    total.elements += element_count(array.shape);
  }
  return totals;
}

/// "first ... last" of the values that are numbers.
std::string ends_of(std::vector<double> const& values) {
  auto const is_number = [](double value) { return !std::isnan(value); };
  auto const first = std::ranges::find_if(values, is_number);
  if (first == values.end()) return "no values";
  auto const last = std::find_if(values.rbegin(), values.rend(), is_number);
  return fmt::format("{:.6g} ... {:.6g}", *first, *last);
}

}  // namespace

std::string describe_checkpoint(std::string const& path) {
  auto const summary = read_checkpoint_summary(path);
  auto const fault = find_checkpoint_fault(Communicator::self(), path);
  auto text = fmt::format("checkpoint {} ({})\nchecksums: {}\nstate\n", path,
                          readable_bytes(static_cast<double>(std::filesystem::file_size(path))),
                          fault ? *fault : "all right");
  text += describe_state(summary.state);
  for (auto const& [group, total] : totals_by_group(summary)) {
    text += fmt::format("{}: {} arrays, {} values\n", group, total.arrays, total.elements);
    for (auto const& array : summary.arrays) {
      if (!array.name.starts_with(group + "/") && array.name != group) continue;
      text += fmt::format("  {:<60} [{}]\n", array.name, fmt::join(array.shape, ", "));
    }
  }
  return text;
}

std::string describe_metrics(std::string const& path) {
  auto text = fmt::format("metrics {}\n", path);
  for (std::string const group : {"steps", "evaluations"}) {
    auto const table = read_metrics(path, group);
    text += fmt::format("{}: {} rows\n", group, table.at("step").size());
    for (auto const& [name, values] : table)
      text += fmt::format("  {:<28} {}\n", name, ends_of(values));
  }
  return text;
}

}  // namespace dino::io
