// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "io/hdf5.hpp"

namespace dino::io {

/// Rows of a group by column; all columns, "step" among them, have one length.
using MetricsTable = std::map<std::string, std::vector<double>>;
using MetricsTables = std::map<std::string, MetricsTable>;  ///< by group
constexpr char const* metrics_groups[] = {"steps", "evaluations"};

std::size_t row_count(MetricsTable const& table);
/// Adds the rows of `more`; columns that one side lacks are NaN there.
void append_rows(MetricsTable& table, MetricsTable const& more);

/// A metrics file that is open for writing under SWMR.
class MetricsFile {
 public:
  /// Makes a file of these rows, which takes the name `path` when it is readable.
  /// \throws Error (input)
  MetricsFile(std::string const& path, MetricsTables const& tables);
  /// Whether the file has all columns of `table`.
  bool has_columns(std::string const& group, MetricsTable const& table) const;
  /// Appends rows of known columns.
  void append(std::string const& group, MetricsTable const& rows);
  void flush();

 private:
  struct Group {
    hdf5::Group handle;
    std::map<std::string, hdf5::Dataset> columns;
    std::size_t rows = 0;
  };
  void create_columns(Group& group, MetricsTable const& table, std::int64_t chunk_rows);

  hdf5::File file_;
  std::map<std::string, Group> groups_;
};

/// Both groups of a file. \throws Error (input)
MetricsTables read_metrics_file(std::string const& path);

}  // namespace dino::io
