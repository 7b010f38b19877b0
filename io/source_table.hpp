// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace dino::io {

/// A table of texts with named columns, as in a CSV file.
struct Table {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;  ///< each of columns.size()
  bool has(std::string const& column) const;
  /// The field of a row, or an empty text where there is no such column.
  std::string const& at(std::size_t row, std::string const& column) const;
};

/// Reads comma-separated values with a header line (RFC 4180: quotes, either line end).
/// \throws Error (input) naming the line where a row has another number of fields
Table read_table(std::span<std::byte const> csv);

}  // namespace dino::io
