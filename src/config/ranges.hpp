// SPDX-License-Identifier: Apache-2.0
// Checks of ranges that name key, value, rule and a remedy.
#pragma once
#include <array>
#include <cmath>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "config/fields.hpp"

namespace dino::config {

/// \throws Error: "invalid key=value (must be `rule`). Try key=remedy" unless `valid`
template <class T>
void check(bool valid, std::string_view key, T const& value, std::string_view rule,
           std::string_view remedy) {
  require(valid, ExitCode::usage, "invalid {}={} (must be {}). Try {}={}", key, toml_text(value),
          rule, key, remedy);
}

inline void at_least(std::string_view key, std::int64_t value, std::int64_t least,
                     std::string_view remedy) {
  check(value >= least, key, value, fmt::format(">= {}", least), remedy);
}

inline void at_least(std::string_view key, std::optional<std::int64_t> value, std::int64_t least,
                     std::string_view remedy) {
  if (value) at_least(key, *value, least, remedy);
}

inline void not_negative(std::string_view key, double value, std::string_view remedy) {
  check(std::isfinite(value) && value >= 0, key, value, ">= 0", remedy);
}

inline void positive(std::string_view key, double value, std::string_view remedy) {
  check(std::isfinite(value) && value > 0, key, value, "> 0", remedy);
}

inline void unit_interval(std::string_view key, double value, std::string_view remedy) {
  check(value >= 0 && value <= 1, key, value, "in [0, 1]", remedy);
}

inline void below_one(std::string_view key, double value, std::string_view remedy) {
  check(value >= 0 && value < 1, key, value, "in [0, 1)", remedy);
}

inline void one_of(std::string_view key, std::string const& value,
                   std::initializer_list<std::string_view> names) {
  bool known = false;
  std::string list;
  for (auto const& name : names) {
    known = known || value == name;
    if (!list.empty()) list += &name + 1 == names.end() ? " or " : ", ";
    list += name;
  }
  check(known, key, value, list, *names.begin());
}

inline void area_range(std::string_view key, std::array<double, 2> const& range,
                       std::string_view remedy) {
  check(range[0] > 0 && range[0] <= range[1] && range[1] <= 1, key, range,
        "[least, most] with 0 < least <= most <= 1", remedy);
}

/// The Gram loss, its teacher and its teacher's crops. \throws Error (usage)
void validate_gram(Config const& config);
/// All schedules of the form start, peak, end. \throws Error (usage)
void validate_schedules(Config const& config);

}  // namespace dino::config
