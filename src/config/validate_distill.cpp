// SPDX-License-Identifier: Apache-2.0
// Ranges of [distill], and what a frozen teacher asks of other keys.
#include <algorithm>

#include "config/ranges.hpp"

namespace dino::config {
namespace {

void validate_students(Distill const& distill) {
  require(!distill.teacher.empty() || distill.students.empty(), ExitCode::usage,
          "invalid distill.students={} (needs distill.teacher). Try distill.teacher=CHECKPOINT",
          toml_text(distill.students));
  check(distill.ranks.size() == distill.students.size(), "distill.ranks", distill.ranks,
        fmt::format("one number for each of the {} distill.students", distill.students.size()),
        toml_text(std::vector<std::int64_t>(distill.students.size(), 1)));
  check(std::ranges::all_of(distill.ranks, [](auto const n) { return n >= 1; }), "distill.ranks",
        distill.ranks, "numbers >= 1",
        toml_text(std::vector<std::int64_t>(distill.ranks.size(), 1)));
}

}  // namespace

void validate_distill(Config const& config) {
  at_least("distill.micro_batch", config.distill.micro_batch, 1, "16");
  validate_students(config.distill);
  if (config.distill.teacher.empty()) return;
  auto const teacher = toml_text(config.distill.teacher);
  check(config.method != "dinov1", "method", config.method,
        fmt::format("dinov2 or dinov3 with distill.teacher={}", teacher), "dinov3");
  check(config.student.drop_path_rate == 0, "student.drop_path_rate", config.student.drop_path_rate,
        fmt::format("0 with distill.teacher={}: students learn whole", teacher), "0.0");
  require(!config.gram.use_loss || !config.gram.ema_teacher, ExitCode::usage,
          "invalid gram.ema_teacher=true (must be false with distill.teacher={}: the teacher is "
          "another model). Try gram.ema_teacher=false, and gram.it_load_ema_teacher=0",
          teacher);
}

}  // namespace dino::config
