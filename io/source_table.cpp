// SPDX-License-Identifier: Apache-2.0
#include "io/source_table.hpp"

#include <algorithm>
#include <string_view>

#include "base/error.hpp"

namespace dino::io {
namespace {

/// Cuts one record off the front of `text`.
std::vector<std::string> take_record(std::string_view& text) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  std::size_t i = 0;
  for (; i < text.size(); ++i) {
    char const letter = text[i];
    if (quoted) {
      bool const doubled = letter == '"' && i + 1 < text.size() && text[i + 1] == '"';
      if (letter == '"' && !doubled) {
        quoted = false;
        continue;
      }
      fields.back() += letter;
      i += doubled ? 1 : 0;
    } else if (letter == '"') {
      quoted = true;
    } else if (letter == ',') {
      fields.emplace_back();
    } else if (letter == '\n') {
      break;
    } else if (letter != '\r') {
      fields.back() += letter;
    }
  }
  text.remove_prefix(std::min(i + 1, text.size()));
  return fields;
}

}  // namespace

bool Table::has(std::string const& column) const {
  return std::ranges::find(columns, column) != columns.end();
}

std::string const& Table::at(std::size_t row, std::string const& column) const {
  static std::string const none;
  auto const found = std::ranges::find(columns, column);
  return found == columns.end() ? none
                                : rows[row][static_cast<std::size_t>(found - columns.begin())];
}

Table read_table(std::span<std::byte const> csv) {
  std::string_view text(reinterpret_cast<char const*>(csv.data()), csv.size());
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  Table table;
  table.columns = take_record(text);
  while (!text.empty()) {
    auto fields = take_record(text);
    if (fields.size() == 1 && fields[0].empty()) continue;
    require(fields.size() == table.columns.size(), ExitCode::input,
            "row {} has {} fields instead of {}", table.rows.size() + 1, fields.size(),
            table.columns.size());
    table.rows.push_back(std::move(fields));
  }
  return table;
}

}  // namespace dino::io
