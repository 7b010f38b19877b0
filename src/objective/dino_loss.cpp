// SPDX-License-Identifier: Apache-2.0
#include "objective/dino_loss.hpp"

#include <algorithm>

#include "kernels/elementwise.hpp"
#include "kernels/softmax.hpp"

namespace dino {

DinoLoss::DinoLoss(Space const& space, std::int64_t prototypes, double center_momentum)
    : space_(space), prototypes_(prototypes), center_momentum_(center_momentum) {
  auto const floats = static_cast<std::int64_t>(sizeof(float)) * prototypes;
  memory_ = Buffer(space, 3 * floats + 2 * static_cast<std::int64_t>(sizeof(double)));
  loss_ = memory_.as<double>(0, 1);
  entropy_ = memory_.as<double>(sizeof(double), 1);
  std::int64_t const begin = 2 * sizeof(double);
  center_ = memory_.as<float>(begin, prototypes);
  sums_ = memory_.as<float>(begin + floats, prototypes);
  usage_ = memory_.as<float>(begin + 2 * floats, prototypes);
}

void DinoLoss::begin_step() {
  run(space_, Fill<float>{.y = sums_});
  run(space_, Fill<float>{.y = usage_});
  copy_to_space(space_, loss_, std::span<double const>(std::array{0.0}));
  copy_to_space(space_, entropy_, std::span<double const>(std::array{0.0}));
}

View<float const, 2> DinoLoss::targets(View<float, 2> teacher_logits, double teacher_temperature) {
  run(space_, ColumnSums{.x = teacher_logits, .sums = sums_});
  run(space_, CenteredSoftmax{.logits = teacher_logits,
                              .center = center_,
                              .temperature = static_cast<float>(teacher_temperature),
                              .probabilities = teacher_logits});
  run(space_,
      ProbabilityStatistics{.probabilities = teacher_logits, .entropy = entropy_, .usage = usage_});
  return teacher_logits;
}

template <class T>
void DinoLoss::cross_entropy(View<float const, 2> student, View<float const, 2> targets,
                             std::int64_t images, std::int64_t global_batch,
                             double student_temperature, View<T, 2> dlogits) {
  auto const crops = images == 0 ? 2 : student.extent(0) / images;
  double const pairs = 2.0 * static_cast<double>(crops) - 2.0;
  run(space_, DinoCrossEntropy<T>{.student = student,
                                  .teacher = targets,
                                  .batch = images,
                                  .temperature = static_cast<float>(student_temperature),
                                  .weight = 1.0 / (pairs * static_cast<double>(global_batch)),
                                  .dlogits = dlogits,
                                  .loss = loss_});
}

double DinoLoss::local_loss() const {
  double value = 0;
  copy_to_host(space_, std::span(&value, 1), View<double const, 1>(loss_));
  return value;
}

TeacherStatistics DinoLoss::finish_step(Communicator const& world, std::int64_t global_batch) {
  auto const n = static_cast<std::size_t>(prototypes_);
  std::vector<float> sums(n);
  std::vector<float> usage(n);
  double entropy = 0;
  copy_to_host(space_, std::span(sums), View<float const, 1>(sums_));
  copy_to_host(space_, std::span(usage), View<float const, 1>(usage_));
  copy_to_host(space_, std::span(&entropy, 1), View<double const, 1>(entropy_));
  world.sum(std::span(sums));
  world.sum(std::span(usage));
  auto const rows = 2.0 * static_cast<double>(global_batch);
  auto center = this->center();
  for (std::size_t k = 0; k < n; ++k) {
    center[k] = static_cast<float>(center_momentum_ * center[k] +
                                   (1.0 - center_momentum_) * (sums[k] / rows));
  }
  set_center(center);
  return {.entropy = world.sum(entropy) / rows,
          .prototypes = std::count_if(usage.begin(), usage.end(), [](float u) { return u > 0; })};
}

std::vector<float> DinoLoss::center() const {
  std::vector<float> out(static_cast<std::size_t>(prototypes_));
  copy_to_host(space_, std::span(out), View<float const, 1>(center_));
  return out;
}

void DinoLoss::set_center(std::span<float const> center) {
  copy_to_space(space_, center_, center);
}

template void DinoLoss::cross_entropy<float>(View<float const, 2>, View<float const, 2>,
                                             std::int64_t, std::int64_t, double, View<float, 2>);
template void DinoLoss::cross_entropy<bfloat16>(View<float const, 2>, View<float const, 2>,
                                                std::int64_t, std::int64_t, double,
                                                View<bfloat16, 2>);

}  // namespace dino
