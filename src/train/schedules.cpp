// SPDX-License-Identifier: Apache-2.0
#include "optim/schedule.hpp"
#include "train/run.hpp"

namespace dino::train {

StepSettings settings_at(Config const& config, std::int64_t step, std::int64_t steps_per_epoch,
                         std::int64_t steps) {
  using namespace optim;
  auto const& o = config.optim;
  auto const& d = config.dino;
  auto const epoch = step / steps_per_epoch;
  CosineA const lr{.total = steps,
                   .base = scaled_lr(o.lr, LrScaling::linear_256, config.data.batch_size),
                   .last = o.min_lr,
                   .warmup = o.warmup_epochs * steps_per_epoch};
  CosineA const decay{.total = steps, .base = o.weight_decay, .last = o.weight_decay_end};
  CosineA const momentum{
      .total = steps, .base = o.momentum_teacher, .last = o.final_momentum_teacher};
  LinearRamp const temperature{.start = d.warmup_teacher_temp,
                               .value = d.teacher_temp,
                               .warmup = d.warmup_teacher_temp_epochs};
  return {.lr = lr.at(step),
          .weight_decay = decay.at(step),
          .momentum = momentum.at(step),
          .teacher_temperature = temperature.at(epoch),
          .student_temperature = d.student_temp,
          .freeze_last_layer = epoch < o.freeze_last_layer_epochs,
          .clip_grad = o.clip_grad,
          .beta1 = o.beta1,
          .beta2 = o.beta2,
          .eps = o.eps};
}

}  // namespace dino::train
