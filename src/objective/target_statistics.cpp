// SPDX-License-Identifier: Apache-2.0
#include "objective/target_statistics.hpp"

#include <algorithm>
#include <array>

#include "kernels/elementwise.hpp"
#include "kernels/softmax.hpp"

namespace dino {

TargetStatistics::TargetStatistics(Space const& space, std::int64_t prototypes)
    : space_(space),
      memory_(space, static_cast<std::int64_t>(sizeof(double)) +
                         prototypes * static_cast<std::int64_t>(sizeof(float))),
      entropy_(memory_.as<double>(0, 1)),
      usage_(memory_.as<float>(sizeof(double), prototypes)),
      staging_(static_cast<std::size_t>(prototypes)) {}

void TargetStatistics::begin_step() {
  rows_ = 0;
  run(space_, Fill<float>{.y = usage_});
  copy_to_space(space_, entropy_, std::span<double const>(std::array{0.0}));
}

void TargetStatistics::add(View<float const, 2> targets) {
  rows_ += targets.extent(0);
  run(space_,
      ProbabilityStatistics{.probabilities = targets, .entropy = entropy_, .usage = usage_});
}

TeacherStatistics TargetStatistics::finish_step(Communicator const& world) {
  double entropy = 0;
  copy_to_host(space_, std::span(&entropy, 1), View<double const, 1>(entropy_));
  copy_to_host(space_, std::span(staging_), View<float const, 1>(usage_));
  world.sum(std::span(staging_));
  auto const rows = world.sum(rows_);
  auto const total = world.sum(entropy);
  return {
      .entropy = rows == 0 ? 0.0 : total / static_cast<double>(rows),
      .prototypes = std::count_if(staging_.begin(), staging_.end(), [](float u) { return u > 0; })};
}

}  // namespace dino
