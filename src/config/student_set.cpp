// SPDX-License-Identifier: Apache-2.0
#include "config/student_set.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <numeric>
#include <string_view>

#include "base/error.hpp"
#include "config/fields.hpp"

namespace dino {
namespace {

/// Sections and keys in which students of one teacher agree: a step is over one global batch, whose
/// crops and masks the teacher sees for all of them, and they take as many steps.
constexpr std::array shared{"method",
                            "data.",
                            "crops.",
                            "distill.",
                            "run.seed",
                            "run.precision",
                            "run.epochs",
                            "run.steps",
                            "run.stop_after_steps",
                            "run.epoch_length",
                            "run.head_warmup_steps",
                            "student.patch_size",
                            "ibot.separate_head",
                            "ibot.mask_",
                            "checkpoint.every"};
/// What does not change a crop may differ.
constexpr std::array own{"data.workers", "data.prefetch", "data.staging", "data.file_locking"};

bool any_begins(auto const& beginnings, std::string const& key) {
  return std::ranges::any_of(beginnings, [&](std::string_view b) { return key.starts_with(b); });
}

/// Every key with its value as TOML.
std::map<std::string, std::string> shared_values(Config config) {
  std::map<std::string, std::string> values;
  config::for_each_field(config, [&](std::string_view section, std::string_view name,
                                     auto const& value, std::string_view) {
    auto const key = config::full_key(section, name);
    if (any_begins(shared, key) && !any_begins(own, key)) values[key] = config::toml_text(value);
  });
  values["ibot.loss_weight=0"] = config::toml_text(config.ibot.loss_weight == 0);
  return values;
}

void check_alike(Config const& first, Config const& other) {
  auto const expected = shared_values(first);
  for (auto const& [key, value] : shared_values(other)) {
    auto const& wanted = expected.at(key);
    require(
        value == wanted, ExitCode::usage,
        "invalid {}={} of the student of run.dir={} (that of run.dir={} has {}; students of one "
        "teacher share it). Set it once, in the file that lists distill.students",
        key, value.empty() ? "(unset)" : value, config::toml_text(other.run.dir),
        config::toml_text(first.run.dir), wanted.empty() ? "(unset)" : wanted);
  }
}

/// Checkpoints that all students have must not be deleted before the next is complete.
void check_checkpoints(Config const& student) {
  require(
      student.checkpoint.keep_last >= 2, ExitCode::usage,
      "invalid checkpoint.keep_last={} (must be >= 2 with distill.students: a kill may leave the "
      "newest to some of them). Try checkpoint.keep_last=2",
      student.checkpoint.keep_last);
}

void check_directories(std::vector<Config> const& students) {
  for (std::size_t i = 0; i < students.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      auto const path = [&](std::size_t s) {
        return std::filesystem::absolute(students[s].run.dir).lexically_normal();
      };
      require(
          path(i) != path(k), ExitCode::usage,
          "invalid run.dir={} (two of distill.students have it). Give each its own, in its file",
          config::toml_text(students[i].run.dir));
    }
  }
}

/// What a student's own file may not say, as it holds for all of them.
void check_file(Config const& set, Config const& student, std::string const& path) {
  require(student.distill.students == set.distill.students &&
              student.distill.ranks == set.distill.ranks,
          ExitCode::usage,
          "'{}' names distill.students or distill.ranks, but is itself one of "
          "distill.students. Remove them there",
          path);
}

}  // namespace

std::size_t StudentSet::part_of(std::int64_t rank, std::int64_t of_ranks) const {
  if (ranks.empty()) return 0;
  auto const total = std::accumulate(ranks.begin(), ranks.end(), std::int64_t{0});
  require(total == of_ranks, ExitCode::usage,
          "invalid distill.ranks={} (they add up to {}, and the run has {} ranks). Start {} ranks, "
          "or change distill.ranks",
          config::toml_text(ranks), total, of_ranks, total);
  std::size_t part = 0;
  for (auto end = ranks[0]; rank >= end; end += ranks[part]) ++part;
  return part;
}

StudentSet load_students(std::string const& path, std::span<std::string const> overrides) {
  auto const set = load_config(path, overrides);
  auto const& names = set.distill.students;
  set.validate();
  if (names.empty()) return {.students = {set}};
  StudentSet out{.students = {}, .ranks = set.distill.ranks};
  for (auto const& name : names) {
    auto const file = (std::filesystem::path(path).parent_path() / name).string();
    auto student = load_config(file, {}, set);
    check_file(set, student, file);
    student = parse_config("", path, overrides, student);
    student.distill.students.clear();
    student.distill.ranks.clear();
    student.validate();
    check_checkpoints(student);
    out.students.push_back(std::move(student));
  }
  check_directories(out.students);
  for (auto const& student : out.students) check_alike(out.students.front(), student);
  return out;
}

}  // namespace dino
