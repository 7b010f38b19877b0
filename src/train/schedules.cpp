// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "optim/schedule.hpp"
#include "train/run.hpp"

namespace dino::train {

namespace {

optim::LrScaling scaling_rule(std::string const& name) {
  if (name == "sqrt_1024") return optim::LrScaling::sqrt_1024;
  if (name == "four_sqrt_1024") return optim::LrScaling::four_sqrt_1024;
  return name == "none" ? optim::LrScaling::none : optim::LrScaling::linear_256;
}

/// Where a run is, in steps.
struct Place {
  std::int64_t step = 0, epoch = 1, total = 1;
};

/// Value of a schedule of the form start, peak, end where it is in force, else `otherwise`.
/// \param factor  of peak and end
double scheduled_or(double otherwise, config::CosineSchedule const& schedule, Place const& place,
                    double factor = 1) {
  if (!schedule.peak) return otherwise;
  optim::CosineB cosine{.total = place.total,
                        .start = schedule.start,
                        .peak = factor * *schedule.peak,
                        .end = factor * schedule.end.value_or(*schedule.peak),
                        .warmup = schedule.warmup_epochs * place.epoch};
  if (schedule.cosine_epochs) cosine.cosine = *schedule.cosine_epochs * place.epoch;
  return cosine.at(place.step);
}

/// What [schedules] and the weights of terms say, in place of `settings`.
void take_schedules(Config const& config, Place const& place, StepSettings& settings) {
  auto const& s = config.schedules;
  auto const factor =
      optim::scaled_lr(1, scaling_rule(config.optim.lr_scaling), config.data.batch_size);
  settings.lr = scheduled_or(settings.lr, s.lr, place, factor);
  settings.weight_decay = scheduled_or(settings.weight_decay, s.weight_decay, place);
  settings.momentum = scheduled_or(settings.momentum, s.momentum, place);
  settings.teacher_temperature = scheduled_or(settings.teacher_temperature, s.teacher_temp, place);
  if (config.method != "dinov3") return;
  settings.dino_local_weight = scheduled_or(1, config.dino.local_loss_weight_schedule, place);
  settings.gram_weight =
      scheduled_or(config.gram.loss_weight, config.gram.loss_weight_schedule, place);
}

/// The schedules of the run proper.
StepSettings scheduled(Config const& config, std::int64_t step, std::int64_t steps_per_epoch,
                       std::int64_t steps) {
  using namespace optim;
  auto const& o = config.optim;
  auto const& d = config.dino;
  bool const v1 = config.method == "dinov1";
  auto const epoch = step / steps_per_epoch;
  auto const cosine = [&](double base, double last, std::int64_t warmup = 0) {
    CosineA const schedule{.total = steps,
                           .base = base,
                           .last = last,
                           .warmup = warmup,
                           .trunc_extra = o.schedule_trunc_extra};
    return schedule.at(step);
  };
  // v1 warms the temperature up by epochs, v2 by steps; v1 leaves the frozen prototypes out of the
  // optimizer, v2 gives them the rate 0.
  LinearRamp const temperature{.start = d.warmup_teacher_temp,
                               .value = d.teacher_temp,
                               .warmup = d.warmup_teacher_temp_epochs * (v1 ? 1 : steps_per_epoch)};
  auto const peak = scaled_lr(o.lr, scaling_rule(o.lr_scaling), config.data.batch_size);
  StepSettings settings{.lr = cosine(peak, o.min_lr, o.warmup_epochs * steps_per_epoch),
                        .weight_decay = cosine(o.weight_decay, o.weight_decay_end),
                        .momentum = cosine(o.momentum_teacher, o.final_momentum_teacher),
                        .teacher_temperature = temperature.at(v1 ? epoch : step),
                        .student_temperature = d.student_temp,
                        .freeze_last_layer = v1 && epoch < o.freeze_last_layer_epochs,
                        .clip_grad = o.clip_grad,
                        .beta1 = o.beta1,
                        .beta2 = o.beta2,
                        .eps = o.eps,
                        .iteration = step};
  take_schedules(config, {.step = step, .epoch = steps_per_epoch, .total = steps}, settings);
  if (!v1) {
    settings.last_layer_lr =
        last_layer_lr(settings.lr, step, o.freeze_last_layer_epochs * steps_per_epoch);
  }
  return settings;
}

/// Heads alone, at the peak rate, towards a teacher that stays: for a backbone that came without.
StepSettings head_warmup(Config const& config, StepSettings settings) {
  settings.heads_only = true;
  settings.lr = optim::scaled_lr(config.schedules.lr.peak.value_or(config.optim.lr),
                                 scaling_rule(config.optim.lr_scaling), config.data.batch_size);
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
