// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "config/ranges.hpp"

namespace dino::config {
namespace {

/// The values that a scheduled quantity may take.
struct Range {
  double least = 0, most = INFINITY;
  bool open = false;  ///< the least value itself is not one of them
  std::string_view rule = ">= 0", remedy = "0.0";
};

void validate_schedule(std::string const& name, CosineSchedule const& schedule,
                       Range const& range) {
  auto const in_range = [&](char const* key, double value) {
    bool const valid = std::isfinite(value) && value <= range.most &&
                       (range.open ? value > range.least : value >= range.least);
    check(valid, name + "." + key, value, range.rule, range.remedy);
  };
  at_least(name + ".warmup_epochs", schedule.warmup_epochs, 0, "10");
  at_least(name + ".cosine_epochs", schedule.cosine_epochs, 0, "10");
  if (!schedule.peak) {
    require(!schedule.end, ExitCode::usage,
            "invalid {0}.end={1} (needs {0}.peak). Try {0}.peak={1}", name,
            toml_text(schedule.end));
    return;
  }
  if (schedule.warmup_epochs > 0) in_range("start", schedule.start);
  in_range("peak", *schedule.peak);
  if (schedule.end) in_range("end", *schedule.end);
}

}  // namespace

void validate_schedules(Config const& config) {
  auto const& s = config.schedules;
  validate_schedule("schedules.lr", s.lr, {.remedy = "1e-4"});
  validate_schedule("schedules.weight_decay", s.weight_decay, {.remedy = "0.04"});
  validate_schedule("schedules.momentum", s.momentum,
                    {.most = 1, .rule = "in [0, 1]", .remedy = "0.994"});
  validate_schedule("schedules.teacher_temp", s.teacher_temp,
                    {.open = true, .rule = "> 0", .remedy = "0.07"});
  validate_schedule("dino.local_loss_weight_schedule", config.dino.local_loss_weight_schedule,
                    {.remedy = "0.5"});
  validate_schedule("gram.loss_weight_schedule", config.gram.loss_weight_schedule,
                    {.remedy = "2.0"});
}

}  // namespace dino::config
