// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <iterator>
#include <type_traits>

#include "config/fields.hpp"

namespace dino {
namespace config {
namespace {

template <class T>
std::string array_text(std::span<T const> values) {
  std::string text = "[";
  for (T const& value : values) {
    if (text.size() > 1) text += ", ";
    text += toml_text(value);
  }
  return text + "]";
}

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

}  // namespace

std::string full_key(std::string_view section, std::string_view key) {
  return section.empty() ? std::string(key) : fmt::format("{}.{}", section, key);
}

std::string toml_text(bool value) {
  return value ? "true" : "false";
}

std::string toml_text(std::int64_t value) {
  return fmt::format("{}", value);
}

std::string toml_text(double value) {
  std::string text = fmt::format("{}", value);
  // "1" would read as an integer; "1e+20", "inf" and "nan" would not
  if (text.find_first_not_of("+-0123456789") == std::string::npos) text += ".0";
  return text;
}

std::string toml_text(std::string_view value) {
  std::string text = "\"";
  for (char const letter : value) {
    auto const code = static_cast<unsigned char>(letter);
    if (letter == '"' || letter == '\\') {
      text += '\\';
      text += letter;
    } else if (letter == '\n') {
      text += "\\n";
    } else if (letter == '\t') {
      text += "\\t";
    } else if (code < 0x20 || code == 0x7F) {
      fmt::format_to(std::back_inserter(text), "\\u{:04X}", code);
    } else {
      text += letter;
    }
  }
  return text + "\"";
}

std::string toml_text(std::span<double const> values) {
  return array_text(values);
}

std::string toml_text(std::span<std::int64_t const> values) {
  return array_text(values);
}

std::string toml_text(std::vector<std::string> const& values) {
  return array_text(std::span<std::string const>(values));
}

}  // namespace config

std::string to_toml(Config const& config) {
  Config copy = config;  // visit takes a mutable struct
  std::string text;
  std::string_view current;
  config::for_each_field(copy, [&](std::string_view section, std::string_view key,
                                   auto const& value, std::string_view) {
    if (section != current) fmt::format_to(std::back_inserter(text), "\n[{}]\n", section);
    current = section;
    if constexpr (config::IsOptional<std::decay_t<decltype(value)>>::value) {
      if (!value) return;
    }
    fmt::format_to(std::back_inserter(text), "{} = {}\n", key, config::toml_text(value));
  });
  return text;
}

std::string describe_keys() {
  Config defaults;
  std::string text;
  config::for_each_field(defaults, [&](std::string_view section, std::string_view key,
                                       auto const& value, std::string_view help) {
    std::string const shown = config::toml_text(value);
    fmt::format_to(std::back_inserter(text), "{:<46} {:<16} {}\n", config::full_key(section, key),
                   shown.empty() ? "(unset)" : shown, help);
  });
  return text;
}

}  // namespace dino
