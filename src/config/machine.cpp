// SPDX-License-Identifier: Apache-2.0
#include "config/machine.hpp"

#include <toml++/toml.h>

#include <set>
#include <vector>

#include "base/error.hpp"
#include "config/fields.hpp"
#include "config/ranges.hpp"

namespace dino {
namespace {

std::string_view expected(std::string const&) {
  return "a string";
}
std::string_view expected(std::int64_t) {
  return "an integer";
}
std::string_view expected(double) {
  return "a number";
}

/// \return false if the node has another type
template <class T>
bool read(toml::node const& node, T& value) {
  auto const found = node.value<T>();  // a double takes integers too
  if (found) value = *found;
  return found.has_value();
}

std::vector<std::string> known_keys() {
  std::vector<std::string> keys;
  Machine().visit(
      [&](std::string_view key, auto const&, std::string_view) { keys.emplace_back(key); });
  return keys;
}

void assign(Machine& machine, std::string_view name, toml::node const& node,
            std::string const& place) {
  bool known = false;
  machine.visit([&](std::string_view key, auto& value, std::string_view help) {
    if (key != name) return;
    known = true;
    require(read(node, value), ExitCode::usage, "invalid {} {} (expected {}: {})", name, place,
            expected(value), help);
  });
  require(known, ExitCode::usage, "unknown key {} {}. Did you mean {}?", config::toml_text(name),
          place, config::nearest_key(name, known_keys()));
}

void require_all(std::set<std::string, std::less<>> const& given, std::string const& origin) {
  Machine().visit([&](std::string_view key, auto const&, std::string_view help) {
    require(given.contains(key), ExitCode::usage,
            "the machine of {} lacks {} ({}). Add the line {} = ..., see jobs/machines/", origin,
            key, help, key);
  });
}

void share(std::string_view key, double value) {
  config::check(value > 0 && value <= 1, key, value, "in (0, 1]", "0.5");
}

}  // namespace

void Machine::validate() const {
  config::at_least("ranks_per_node", ranks_per_node, 1, "8");
  config::positive("memory_gib", memory_gib, "80");
  config::positive("fp32_tflops", fp32_tflops, "67");
  config::positive("bf16_tflops", bf16_tflops, "989");
  share("matrix_efficiency", matrix_efficiency);
  config::positive("node_bandwidth", node_bandwidth, "450");
  config::positive("network_bandwidth", network_bandwidth, "50");
  share("bandwidth_efficiency", bandwidth_efficiency);
  config::unit_interval("overlap", overlap, "0.8");
}

Machine parse_machine(std::string const& text, std::string const& origin) {
  Machine machine;
  std::set<std::string, std::less<>> given;
  try {
    auto const table = toml::parse(text, origin);
    for (auto const& [key, node] : table) {
      assign(machine, key.str(), node, fmt::format("in {}:{}", origin, key.source().begin.line));
      given.emplace(key.str());
    }
  } catch (toml::parse_error const& error) {
    fail(ExitCode::usage, "cannot read {}:{}:{} as TOML ({}). Correct that line", origin,
         error.source().begin.line, error.source().begin.column, error.description());
  }
  require_all(given, origin);
  machine.validate();
  return machine;
}

Machine load_machine(std::string const& path) {
  return parse_machine(config::read_text(path, "the machine file", "jobs/machines/"), path);
}

std::string describe_machine_keys() {
  std::string text;
  Machine().visit([&](std::string_view key, auto const&, std::string_view help) {
    text += fmt::format("  {:<22} {}\n", key, help);
  });
  return text;
}

}  // namespace dino
