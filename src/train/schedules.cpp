// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "optim/schedule.hpp"
#include "train/run.hpp"

namespace dino::train {

namespace {

optim::LrScaling scaling_rule(std::string const& name) {
  if (name == "sqrt_1024") return optim::LrScaling::sqrt_1024;
  return name == "none" ? optim::LrScaling::none : optim::LrScaling::linear_256;
}

/// The schedules of the run proper.
StepSettings scheduled(Config const& config, std::int64_t step, std::int64_t steps_per_epoch,
                       std::int64_t steps) {
  using namespace optim;
  auto const& o = config.optim;
  auto const& d = config.dino;
  bool const v1 = config.method == "dinov1";
  auto const epoch = step / steps_per_epoch;
  CosineA const lr{.total = steps,
                   .base = scaled_lr(o.lr, scaling_rule(o.lr_scaling), config.data.batch_size),
                   .last = o.min_lr,
                   .warmup = o.warmup_epochs * steps_per_epoch};
  CosineA const decay{.total = steps, .base = o.weight_decay, .last = o.weight_decay_end};
  CosineA const momentum{
      .total = steps, .base = o.momentum_teacher, .last = o.final_momentum_teacher};
  // v1 warms the temperature up by epochs, v2 by steps; v1 leaves the frozen prototypes out of the
  // optimizer, v2 gives them the rate 0.
  LinearRamp const temperature{.start = d.warmup_teacher_temp,
                               .value = d.teacher_temp,
                               .warmup = d.warmup_teacher_temp_epochs * (v1 ? 1 : steps_per_epoch)};
  StepSettings settings{.lr = lr.at(step),
                        .weight_decay = decay.at(step),
                        .momentum = momentum.at(step),
                        .teacher_temperature = temperature.at(v1 ? epoch : step),
                        .student_temperature = d.student_temp,
                        .freeze_last_layer = v1 && epoch < o.freeze_last_layer_epochs,
                        .clip_grad = o.clip_grad,
                        .beta1 = o.beta1,
                        .beta2 = o.beta2,
                        .eps = o.eps};
  if (!v1) {
    settings.last_layer_lr =
        last_layer_lr(settings.lr, step, o.freeze_last_layer_epochs * steps_per_epoch);
  }
  return settings;
}

/// Heads alone, at the peak rate, towards a teacher that stays: for a backbone that came without.
StepSettings head_warmup(Config const& config, StepSettings settings) {
  settings.heads_only = true;
  settings.lr = optim::scaled_lr(config.optim.lr, scaling_rule(config.optim.lr_scaling),
                                 config.data.batch_size);
  settings.last_layer_lr = settings.lr;
  settings.freeze_last_layer = false;
  return settings;
}

}  // namespace

StepSettings settings_at(Config const& config, std::int64_t step, std::int64_t steps_per_epoch,
                         std::int64_t steps) {
  if (auto const warmup = config.run.head_warmup_steps; warmup > 0) {
    auto const later = scheduled(config, std::max<std::int64_t>(0, step - warmup), steps_per_epoch,
                                 steps - warmup);
    return step < warmup ? head_warmup(config, later) : later;
  }
  return scheduled(config, step, steps_per_epoch, steps);
}

}  // namespace dino::train
