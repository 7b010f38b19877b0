// SPDX-License-Identifier: Apache-2.0
#include "train/collapse.hpp"

#include <fmt/format.h>

#include <cmath>

namespace dino::train {

CollapseMonitor::CollapseMonitor(std::int64_t prototypes)
    : log_prototypes_(std::log(static_cast<double>(prototypes))) {}

bool CollapseMonitor::Sign::ripe(bool now) {
  held = now ? held + 1 : 0;
  if (told || held < patience) return false;
  told = true;
  return true;
}

std::optional<std::string> CollapseMonitor::look(StepResult const& result) {
  constexpr double near = 0.01;  // of ln K, and of the spread
  auto const entropy = result.teacher.entropy;
  if (uniform_.ripe(entropy > (1 - near) * log_prototypes_)) {
    return fmt::format(
        "collapse to the uniform distribution: the teacher's entropy {:.3f} has been at ln K = "
        "{:.3f} for {} steps, so its targets say nothing. Lower dino.teacher_temp or optim.lr, or "
        "warm up longer",
        entropy, log_prototypes_, patience);
  }
  if (one_hot_.ripe(result.teacher.prototypes <= 1)) {
    return fmt::format(
        "collapse to one prototype: the teacher has put all images on the same one for {} steps. "
        "Raise dino.teacher_temp, or lower dino.center_momentum or optim.lr",
        patience);
  }
  if (narrow_.ripe(result.feature_spread < near)) {
    return fmt::format(
        "collapse of the features: their spread {:.4f} has been near 0 for {} steps, so all images "
        "look alike. Lower optim.lr, or check the data",
        result.feature_spread, patience);
  }
  return std::nullopt;
}

}  // namespace dino::train
