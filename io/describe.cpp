// SPDX-License-Identifier: Apache-2.0
#include "io/describe.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "io/checkpoint.hpp"
#include "io/checkpoint_layout.hpp"
#include "io/hdf5.hpp"
#include "io/metrics.hpp"
#include "io/shard_index.hpp"
#include "io/shard_set.hpp"

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

/// Attribute `format` of an HDF5 file, or nothing where it has none.
std::string format_of(std::string const& path) {
  // SWMR: a metrics file may be open for writing.
  auto const access = hdf5::property_list(H5P_FILE_ACCESS);
  hdf5::silence();
  hdf5::File const file(H5Fopen(path.c_str(), H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, access.get()));
  if (file && hdf5::has_attribute(file.get(), "format"))
    return hdf5::read_text_attribute(file.get(), "format");
  auto const plain = hdf5::open_file(path, hdf5::Access::read);
  return hdf5::has_attribute(plain.get(), "format")
             ? hdf5::read_text_attribute(plain.get(), "format")
             : std::string();
}

/// Counts over the shards of a set.
struct ShardTotals {
  std::int64_t shards = 0, images = 0, bytes = 0, masks = 0, depths = 0, duplicates = 0;
  std::vector<std::string> class_names;
  std::vector<std::int64_t> per_class;
  std::int32_t least_side = 0, largest_side = 0;
  std::string source;
};

std::int64_t present(PictureColumn const& column) {
  return std::ranges::count_if(column.length, [](auto length) { return length > 0; });
}

void add_shard(ShardTotals& totals, ShardIndex const& index) {
  ++totals.shards;
  totals.images += index.images;
  for (auto const length : index.image.length) totals.bytes += length;
  totals.masks += present(index.mask);
  totals.depths += present(index.depth);
  totals.duplicates += std::ranges::count_if(index.duplicate, [](auto id) { return id >= 0; });
  totals.class_names = index.metadata.class_names;
  totals.per_class.resize(totals.class_names.size());
  for (auto const label : index.label) {
    if (label >= 0) ++totals.per_class[static_cast<std::size_t>(label)];
  }
  for (auto const* sides : {&index.width, &index.height}) {
    for (auto const side : *sides) {
      totals.least_side = totals.least_side == 0 ? side : std::min(totals.least_side, side);
      totals.largest_side = std::max(totals.largest_side, side);
    }
  }
  totals.source = index.metadata.source;
}

}  // namespace

std::string describe_shards(std::string const& path) {
  ShardTotals totals;
  for (auto const& file : list_shard_files(path))
    add_shard(totals, read_shard_index(file, IndexPart::all, FileLocking::yes));
  auto text = fmt::format(
      "shards {}\n  {:<28} {}\n  {:<28} {} ({})\n  {:<28} {} to {} pixels\n  {:<28} {}\n  "
      "{:<28} {}\n  {:<28} {}\n  {:<28} {}\n",
      path, "files", totals.shards, "images", totals.images,
      readable_bytes(static_cast<double>(totals.bytes)), "sides", totals.least_side,
      totals.largest_side, "masks", totals.masks, "depth maps", totals.depths,
      "images with near-duplicates", totals.duplicates, "source", shortened(totals.source));
  if (!totals.class_names.empty()) text += "classes\n";
  for (std::size_t c = 0; c < totals.class_names.size(); ++c)
    text += fmt::format("  {:<28} {} images\n", totals.class_names[c], totals.per_class[c]);
  return text;
}

Description describe_file(std::string const& path) {
  if (std::filesystem::is_directory(path)) return {describe_shards(path)};
  auto const format = format_of(path);
  if (format == "dino-hpc checkpoint")
    return {describe_checkpoint(path), !find_checkpoint_fault(Communicator::self(), path)};
  if (format == "dino-hpc metrics") return {describe_metrics(path)};
  if (format == layout::format) return {describe_shards(path)};
  fail(
      ExitCode::input,
      "'{}' is HDF5, but no file of this program (its attribute 'format' is '{}'). Give a shard, a "
      "folder of shards, a checkpoint, features or metrics.h5",
      path, format);
}

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
