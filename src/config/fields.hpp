// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"

namespace dino::config {

/// Calls field(section, key, value, help) for every key; `method` has the empty section.
template <class Field>
void for_each_field(Config& config, Field&& field) {
  field(std::string_view(), std::string_view("method"), config.method,
        std::string_view("what is trained: dinov1, dinov2 or dinov3"));
  config.visit_sections([&](std::string_view section, auto& fields) {
    fields.visit([&](std::string_view key, auto& value, std::string_view help) {
      field(section, key, value, help);
    });
  });
}

/// "section.key", or "key" where the section is empty.
std::string full_key(std::string_view section, std::string_view key);

/// A value as TOML; numbers are the shortest that read back to the same bits.
std::string toml_text(bool value);
std::string toml_text(std::int64_t value);
std::string toml_text(double value);
std::string toml_text(std::string_view value);
inline std::string toml_text(std::string const& value) {
  return toml_text(std::string_view(value));
}
inline std::string toml_text(char const* value) {
  return toml_text(std::string_view(value));
}
std::string toml_text(std::span<double const> values);
std::string toml_text(std::span<std::int64_t const> values);
template <std::size_t N>
std::string toml_text(std::array<double, N> const& values) {
  return toml_text(std::span<double const>(values));
}
inline std::string toml_text(std::vector<std::int64_t> const& values) {
  return toml_text(std::span<std::int64_t const>(values));
}
inline std::string toml_text(std::vector<double> const& values) {
  return toml_text(std::span<double const>(values));
}
std::string toml_text(std::vector<std::string> const& values);
template <class T>
std::string toml_text(std::optional<T> const& value) {
  return value ? toml_text(*value) : std::string();
}

/// The key that `wrong` was probably meant to be: least edit distance, of the whole or (so that a
/// key in the wrong section is found) of the part after the dot.
std::string nearest_key(std::string_view wrong, std::span<std::string const> known);

/// A whole file. \throws Error (usage) that says what could not be read, and where examples are
/// \param what  e.g. "the configuration"
std::string read_text(std::string const& path, std::string const& what, std::string_view folder);

}  // namespace dino::config
