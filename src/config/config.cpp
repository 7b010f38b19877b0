// SPDX-License-Identifier: Apache-2.0
#include "config/config.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <limits>
#include <numeric>
#include <type_traits>

#include "base/error.hpp"
#include "config/fields.hpp"

namespace dino {
namespace config {
namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      std::size_t const replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}

std::string_view last_part(std::string_view key) {
  return key.substr(key.rfind('.') + 1);
}

/// A key as it may be printed: quoted unless it has only the letters of a bare key.
std::string printable(std::string_view key) {
  bool const bare = !key.empty() && std::all_of(key.begin(), key.end(), [](unsigned char letter) {
    return letter < 0x80 &&
           (std::isalnum(letter) != 0 || letter == '_' || letter == '-' || letter == '.');
  });
  return bare ? std::string(key) : toml_text(key);
}

// What a key takes, in words, and an example of it. One overload per type that a field can have.
std::string expected(bool) {
  return "true or false";
}
std::string expected(std::int64_t) {
  return "an integer";
}
std::string expected(double) {
  return "a number";
}
std::string expected(std::string const&) {
  return "a string";
}
template <std::size_t N>
std::string expected(std::array<double, N> const&) {
  return fmt::format("an array of {} numbers", N);
}
std::string expected(std::vector<std::int64_t> const&) {
  return "an array of integers";
}
std::string expected(std::vector<double> const&) {
  return "an array of numbers";
}
std::string expected(std::vector<std::string> const&) {
  return "an array of strings";
}
template <class T>
std::string expected(std::optional<T> const&) {
  return expected(T{});
}

template <class T>
std::string example(T const& value) {
  return toml_text(value);
}
std::string example(std::string const& value) {
  return toml_text(value.empty() ? "text" : value);
}
template <class T>
std::string example(std::optional<T> const& value) {
  return toml_text(value.value_or(T{100}));
}

/// A node as TOML; tables and dates as what they are.
std::string node_text(toml::node const& node) {
  if (auto const* text = node.as_string()) return toml_text(text->get());
  if (auto const* flag = node.as_boolean()) return toml_text(flag->get());
  if (auto const* number = node.as_integer()) return toml_text(number->get());
  if (auto const* number = node.as_floating_point()) return toml_text(number->get());
  auto const* array = node.as_array();
  if (array == nullptr) return node.is_table() ? "a table" : "a date or time";
  std::string text = "[";
  for (auto const& element : *array) text += (text.size() > 1 ? ", " : "") + node_text(element);
  return text + "]";
}

std::string found(toml::node const& node) {
  std::string_view const kind = node.is_string()           ? "the string "
                                : node.is_integer()        ? "the integer "
                                : node.is_floating_point() ? "the floating-point number "
                                : node.is_array()          ? "the array "
                                                           : "";
  return std::string(kind) + node_text(node);
}

// Each overload reads a node into a value. \return false if the node has another type
bool read(toml::node const& node, bool& value) {
  auto const* flag = node.as_boolean();
  if (flag != nullptr) value = flag->get();
  return flag != nullptr;
}
bool read(toml::node const& node, std::int64_t& value) {
  auto const* number = node.as_integer();
  if (number != nullptr) value = number->get();
  return number != nullptr;
}
bool read(toml::node const& node, double& value) {
  if (auto const* whole = node.as_integer()) {
    value = static_cast<double>(whole->get());
    return true;
  }
  auto const* number = node.as_floating_point();
  if (number != nullptr) value = number->get();
  return number != nullptr;
}
bool read(toml::node const& node, std::string& value) {
  auto const* text = node.as_string();
  if (text != nullptr) value = text->get();
  return text != nullptr;
}
template <std::size_t N>
bool read(toml::node const& node, std::array<double, N>& values) {
  auto const* array = node.as_array();
  if (array == nullptr || array->size() != N) return false;
  for (std::size_t i = 0; i < N; ++i) {
    if (!read((*array)[i], values[i])) return false;
  }
  return true;
}
template <class T>
bool read(toml::node const& node, std::vector<T>& values) {
  auto const* array = node.as_array();
  if (array == nullptr) return false;
  values.assign(array->size(), T{});
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!read((*array)[i], values[i])) return false;
  }
  return true;
}
template <class T>
bool read(toml::node const& node, std::optional<T>& value) {
  T given{};
  if (!read(node, given)) return false;
  value = given;
  return true;
}

std::vector<std::string> known_keys() {
  Config defaults;
  std::vector<std::string> keys;
  for_each_field(defaults, [&](std::string_view section, std::string_view key, auto const&,
                               std::string_view) { keys.push_back(full_key(section, key)); });
  return keys;
}

std::vector<std::string> known_sections() {
  Config defaults;
  std::vector<std::string> sections;
  defaults.visit_sections([&](std::string_view name, auto&) { sections.emplace_back(name); });
  return sections;
}

/// Whether a name is that of a section, or stands before one as `schedules` does.
bool is_section(std::string_view name) {
  auto const sections = known_sections();
  return std::any_of(sections.begin(), sections.end(), [&](std::string const& section) {
    return section == name || section.starts_with(std::string(name) + ".");
  });
}

/// Sets one key; `place` ("in file:line" or "in the override ...") stands in the errors.
void assign(Config& config, std::string const& name, toml::node const& node,
            std::string const& place) {
  bool known = false;
  for_each_field(config, [&](std::string_view section, std::string_view key, auto& value,
                             std::string_view) {
    if (full_key(section, key) != name) return;
    known = true;
    auto given = value;
    require(read(node, given), ExitCode::usage, "invalid {} {} (expected {}, found {}). Try {}={}",
            name, place, expected(value), found(node), name, example(value));
    value = given;
  });
  if (!known) {
    fail(ExitCode::usage, "unknown key {} {}. Did you mean {}?", printable(name), place,
         nearest_key(name, known_keys()));
  }
}

/// Sets the keys of a section (of the whole file: the empty one) and of the sections below it.
void assign_section(Config& config, std::string const& section, toml::table const& table,
                    std::string const& origin) {
  for (auto const& [key, node] : table) {
    auto const name = full_key(section, key.str());
    std::string const place = fmt::format("in {}:{}", origin, key.source().begin.line);
    if (!is_section(name)) {
      require(!section.empty() || !node.is_table() || name == "method", ExitCode::usage,
              "unknown section {} {}. Did you mean [{}]?", printable(name), place,
              nearest_key(name, known_sections()));
      assign(config, name, node, place);
      continue;
    }
    require(node.is_table(), ExitCode::usage,
            "invalid {} {} (expected a section, found {}). Write its keys below a line [{}]", name,
            place, found(node), name);
    assign_section(config, name, *node.as_table(), origin);
  }
}

bool takes_string(std::string_view name) {
  Config defaults;
  bool text = false;
  for_each_field(
      defaults, [&](std::string_view section, std::string_view key, auto& value, std::string_view) {
        text = text ||
               (std::is_same_v<decltype(value), std::string&> && full_key(section, key) == name);
      });
  return text;
}

std::string_view trim(std::string_view text) {
  auto const begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

/// `v = text` as a table of one value; empty if that is no TOML or says more than one value.
toml::table parse_value(std::string_view text) {
  try {
    toml::table table = toml::parse(fmt::format("v = {}", text));
    return table.size() == 1 ? table : toml::table();
  } catch (toml::parse_error const&) {
    return {};
  }
}

void assign_override(Config& config, std::string const& override_text) {
  auto const equals = override_text.find('=');
  require(equals != std::string::npos, ExitCode::usage,
          "invalid override {} (there is no '='). Write section.key=value, such as optim.lr=1e-3",
          toml_text(override_text));
  std::string const name(trim(std::string_view(override_text).substr(0, equals)));
  std::string_view const text = trim(std::string_view(override_text).substr(equals + 1));
  std::string const place = "in the override " + toml_text(override_text);
  require(!is_section(name), ExitCode::usage,
          "invalid {} {} (it is a section). Write {}.key=value, one for each key", name, place,
          name);

  toml::table table = parse_value(text);
  // run.dir=2026 means a folder of that name, not a number
  if (table.empty() || (takes_string(name) && !table.get("v")->is_string())) {
    table = parse_value(toml_text(text));
  }
  require(!table.empty(), ExitCode::usage, "invalid {} {} (the value is not UTF-8 text)",
          printable(name), place);
  assign(config, name, *table.get("v"), place);
}

}  // namespace

std::string nearest_key(std::string_view wrong, std::span<std::string const> known) {
  std::string nearest;
  auto least = std::pair{std::numeric_limits<std::size_t>::max(), std::size_t{0}};
  for (auto const& key : known) {
    std::size_t const whole = edit_distance(wrong, key);
    std::size_t const part = edit_distance(last_part(wrong), last_part(key)) + 1;
    if (std::pair const score{std::min(whole, part), whole}; score < least) {
      least = score;
      nearest = key;
    }
  }
  return nearest;
}

std::string read_text(std::string const& path, std::string const& what, std::string_view folder) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  require(file.is_open(), ExitCode::usage, "{}. Give the path of a TOML file, such as those in {}",
          system_error_text("open " + what, path, errno), folder);
  std::string text;
  std::vector<char> chunk(std::size_t{1} << 16);
  try {
    while (file.read(chunk.data(), static_cast<std::streamsize>(chunk.size())), file.gcount() > 0) {
      text.append(chunk.data(), static_cast<std::size_t>(file.gcount()));
    }
  } catch (std::ios_base::failure const&) {  // libstdc++ throws this for a folder
    file.setstate(std::ios::badbit);
  }
  require(!file.bad(), ExitCode::usage, "{}. Give the path of a TOML file, such as those in {}",
          system_error_text("read " + what, path, errno), folder);
  return text;
}

}  // namespace config

Config parse_config(std::string const& text, std::string const& origin,
                    std::span<std::string const> overrides, Config const& base) {
  Config config = base;
  try {
    config::assign_section(config, {}, toml::parse(text, origin), origin);
  } catch (toml::parse_error const& error) {
    fail(ExitCode::usage, "cannot read {}:{}:{} as TOML ({}). Correct that line", origin,
         error.source().begin.line, error.source().begin.column, error.description());
  }
  for (auto const& text_of_override : overrides) config::assign_override(config, text_of_override);
  return config;
}

Config load_config(std::string const& path, std::span<std::string const> overrides,
                   Config const& base) {
  return parse_config(config::read_text(path, "the configuration", "inputs/"), path, overrides,
                      base);
}

}  // namespace dino
