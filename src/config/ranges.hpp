// SPDX-License-Identifier: Apache-2.0
// What the checks of a configuration share: each names key, value, rule and a remedy.
#pragma once
#include <cmath>
#include <initializer_list>
#include <span>

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
                   std::span<std::string_view const> names) {
  bool known = false;
  std::string list;
  for (auto const& name : names) {
    known = known || value == name;
    if (!list.empty()) list += &name == &names.back() ? " or " : ", ";
    list += name;
  }
  check(known, key, value, list, names.front());
}

inline void one_of(std::string_view key, std::string const& value,
                   std::initializer_list<std::string_view> names) {
  one_of(key, value, std::span(names.begin(), names.size()));
}

/// The multiple of `unit` nearest to `value` from below, at least `unit`.
inline std::int64_t multiple_below(std::int64_t value, std::int64_t unit) {
  return value < unit ? unit : value - value % unit;
}

/// \throws Error (usage) naming key, value and a remedy
void validate_student(Student const& student, std::string_view method);
/// What a batch norm asks for: a convnet, or one in the head.
void validate_batch_norm(Config const& config);
/// The Gram loss, its teacher and its teacher's crops.
void validate_gram(Config const& config);
/// [crops.pairs], and local crops that are parts of global ones.
void validate_crop_sizes(Config const& config);
/// The frozen teacher and its students.
void validate_distill(Config const& config);
/// All schedules of the form start, peak, end.
void validate_schedules(Config const& config);

}  // namespace dino::config
