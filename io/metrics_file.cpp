// SPDX-License-Identifier: Apache-2.0
#include "io/metrics_file.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.hpp"
#include "io/posix.hpp"

namespace dino::io {
namespace {

using hdf5::hdf5_check;

constexpr char const* format_name = "dino-hpc metrics";
constexpr std::int64_t format_version = 1;
constexpr double nothing = std::numeric_limits<double>::quiet_NaN();

/// Access in the format that SWMR needs, without file locks: there is one writer, and readers
/// must not hinder it.
hdf5::PropertyList access_properties() {
  auto access = hdf5::property_list(H5P_FILE_ACCESS);
  H5Pset_libver_bounds(access.get(), H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
  // A reader under SWMR repeats what fails its checksum after 1, 2, 4, ... ns; damage stays wrong.
  H5Pset_metadata_read_attempts(access.get(), 24);
#if H5_VERSION_GE(1, 10, 7) && !(H5_VERS_MAJOR == 1 && H5_VERS_MINOR == 12 && H5_VERS_RELEASE == 0)
  H5Pset_file_locking(access.get(), false, true);
#endif
  return access;
}

hid_t stored_type(std::string const& column) {
  return column == "step" ? H5T_STD_I64LE : H5T_IEEE_F64LE;
}

/// An empty dataset that grows.
hdf5::Dataset create_column(hid_t group, std::string const& name, std::int64_t chunk_rows) {
  require(name.find('/') == std::string::npos, ExitCode::bug, "'{}' is no name of a metric", name);
  auto const create = hdf5::property_list(H5P_DATASET_CREATE);
  auto const chunk = static_cast<hsize_t>(chunk_rows);
  H5Pset_chunk(create.get(), 1, &chunk);
  hsize_t const none = 0;
  hsize_t const unlimited = H5S_UNLIMITED;
  hdf5::Dataspace const space(hdf5_check(H5Screate_simple(1, &none, &unlimited), "make a column"));
  return hdf5::Dataset(hdf5_check(H5Dcreate2(group, name.c_str(), stored_type(name), space.get(),
                                             H5P_DEFAULT, create.get(), H5P_DEFAULT),
                                  "make column '" + name + "'"));
}

/// Grows a column by `values`, its length having been `rows`.
void extend(hid_t column, std::size_t rows, std::span<double const> values) {
  hsize_t const begin = rows;
  hsize_t const count = values.size();
  hsize_t const end = begin + count;
  hdf5_check(H5Dset_extent(column, &end), "grow a column of metrics");
  hdf5::Dataspace const place(hdf5_check(H5Dget_space(column), "grow a column of metrics"));
  H5Sselect_hyperslab(place.get(), H5S_SELECT_SET, &begin, nullptr, &count, nullptr);
  hdf5::Dataspace const source(
      hdf5_check(H5Screate_simple(1, &count, nullptr), "grow a column of metrics"));
  hdf5_check(
      H5Dwrite(column, H5T_NATIVE_DOUBLE, source.get(), place.get(), H5P_DEFAULT, values.data()),
      "write metrics");
}

std::vector<std::string> link_names(hid_t group) {
  H5G_info_t facts;
  hdf5_check(H5Gget_info(group, &facts), "list the metrics");
  std::vector<std::string> names;
  for (hsize_t i = 0; i < facts.nlinks; ++i) {
    auto const get = [&](char* text, std::size_t size) {
      return hdf5_check(
          H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, text, size, H5P_DEFAULT),
          "list the metrics");
    };
    std::string name(static_cast<std::size_t>(get(nullptr, 0)), '\0');
    get(name.data(), name.size() + 1);
    names.push_back(std::move(name));
  }
  return names;
}

/// The rows that all columns have: a killed writer may have grown only some of them.
MetricsTable read_table(hid_t file, std::string const& group_name) {
  auto const group = hdf5::open_group(file, group_name);
  MetricsTable table{{"step", {}}};
  auto rows = std::numeric_limits<std::size_t>::max();
  for (auto const& name : link_names(group.get())) {
    auto const column = hdf5::open_dataset(group.get(), name);
    auto const shape = hdf5::shape_of(column.get());
    require(shape.size() == 1, ExitCode::input, "'{}/{}' is no column of metrics", group_name,
            name);
    auto& values = table[name];
    values.resize(static_cast<std::size_t>(shape[0]));
    if (!values.empty()) {
      hdf5_check(
          H5Dread(column.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()),
          "read '" + group_name + "/" + name + "'");
    }
    rows = std::min(rows, values.size());
  }
  for (auto& [name, values] : table) values.resize(std::min(rows, values.size()));
  return table;
}

}  // namespace

std::size_t row_count(MetricsTable const& table) {
  return table.empty() ? 0 : table.begin()->second.size();
}

void append_rows(MetricsTable& table, MetricsTable const& more) {
  auto const before = row_count(table);
  auto const after = before + row_count(more);
  for (auto const& [name, values] : more) {
    auto& column = table[name];
    column.resize(before, nothing);
    column.insert(column.end(), values.begin(), values.end());
  }
  for (auto& [name, column] : table) column.resize(after, nothing);
}

MetricsFile::MetricsFile(std::string const& path, MetricsTables const& tables) {
  auto const unfinished = path + ".unfinished";
  auto const access = access_properties();
  file_ = hdf5::create_file(unfinished, access.get());
  hdf5::write_attribute(file_.get(), "format", std::string(format_name));
  hdf5::write_attribute(file_.get(), "version", format_version);
  for (std::string const name : metrics_groups) {
    auto& group = groups_[name];
    group.handle = hdf5::create_group(file_.get(), name);
    auto const table = tables.find(name);
    if (table != tables.end()) create_columns(group, table->second, name == "steps" ? 512 : 32);
  }
  hdf5_check(H5Fstart_swmr_write(file_.get()), "let '" + path + "' be read while it is written");
  for (auto const& [name, table] : tables) append(name, table);
  flush();
  rename_file(unfinished, path);
}

void MetricsFile::create_columns(Group& group, MetricsTable const& table, std::int64_t chunk_rows) {
  for (auto const& [name, values] : table) {
    group.columns.emplace(name, create_column(group.handle.get(), name, chunk_rows));
  }
}

bool MetricsFile::has_columns(std::string const& group, MetricsTable const& table) const {
  auto const& columns = groups_.at(group).columns;
  return std::ranges::all_of(table,
                             [&](auto const& column) { return columns.contains(column.first); });
}

void MetricsFile::append(std::string const& group_name, MetricsTable const& rows) {
  auto& group = groups_.at(group_name);
  auto const count = row_count(rows);
  if (count == 0) return;
  std::vector<double> const missing(count, nothing);
  for (auto const& [name, column] : group.columns) {
    auto const given = rows.find(name);
    extend(column.get(), group.rows, given == rows.end() ? missing : given->second);
  }
  group.rows += count;
}

void MetricsFile::flush() {
  hdf5_check(H5Fflush(file_.get(), H5F_SCOPE_GLOBAL), "flush metrics");
}

MetricsTables read_metrics_file(std::string const& path) {
  hdf5::silence();
  auto const access = access_properties();
  hid_t raw = H5Fopen(path.c_str(), H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, access.get());
  if (raw < 0) raw = H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get());
  hdf5::File const file(hdf5_check(raw, "open '" + path + "'"));
  require(hdf5::has_attribute(file.get(), "format") &&
              hdf5::read_text_attribute(file.get(), "format") == format_name,
          ExitCode::input, "'{}' is no metrics file of this program", path);
  auto const version = hdf5::read_attribute<std::int64_t>(file.get(), "version");
  require(version == format_version, ExitCode::input,
          "metrics '{}' have format version {}; this program reads {}", path, version,
          format_version);
  MetricsTables tables;
  for (std::string const name : metrics_groups) tables[name] = read_table(file.get(), name);
  return tables;
}

}  // namespace dino::io
