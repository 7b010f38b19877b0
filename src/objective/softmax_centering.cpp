// SPDX-License-Identifier: Apache-2.0
#include "objective/softmax_centering.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/softmax.hpp"

namespace dino {

SoftmaxCentering::SoftmaxCentering(Space const& space, std::int64_t prototypes, double momentum)
    : space_(space),
      momentum_(momentum),
      memory_(space, 2 * prototypes * static_cast<std::int64_t>(sizeof(float))),
      center_(memory_.as<float>(0, prototypes)),
      sums_(memory_.as<float>(prototypes * static_cast<std::int64_t>(sizeof(float)), prototypes)),
      center_staging_(static_cast<std::size_t>(prototypes)),
      sums_staging_(static_cast<std::size_t>(prototypes) + 1) {
  require(momentum >= 0 && momentum <= 1, ExitCode::usage,
          "invalid momentum of the centre: {} (must be in [0, 1])", momentum);
}

void SoftmaxCentering::begin_step() {
  rows_ = 0;
  run(space_, Fill<float>{.y = sums_});
}

View<float const, 2> SoftmaxCentering::targets(View<float, 2> teacher_logits, double temperature) {
  rows_ += teacher_logits.extent(0);
  run(space_, ColumnSums{.x = teacher_logits, .sums = sums_});
  run(space_, CenteredSoftmax{.logits = teacher_logits,
                              .center = center_,
                              .temperature = static_cast<float>(temperature),
                              .probabilities = teacher_logits});
  return teacher_logits;
}

void SoftmaxCentering::finish_step(Communicator const& world) {
  copy_to_host(space_, std::span(center_staging_), View<float const, 1>(sums_));
  std::copy(center_staging_.begin(), center_staging_.end(), sums_staging_.begin());
  sums_staging_.back() = static_cast<double>(rows_);
  world.sum(std::span(sums_staging_));
  double const rows = sums_staging_.back();
  if (rows == 0) return;
  copy_to_host(space_, std::span(center_staging_), View<float const, 1>(center_));
  for (std::size_t k = 0; k < center_staging_.size(); ++k) {
    center_staging_[k] = static_cast<float>(momentum_ * static_cast<double>(center_staging_[k]) +
                                            (1.0 - momentum_) * (sums_staging_[k] / rows));
  }
  set_center(center_staging_);
}

std::vector<float> SoftmaxCentering::center() const {
  std::vector<float> out(static_cast<std::size_t>(prototypes()));
  copy_to_host(space_, std::span(out), View<float const, 1>(center_));
  return out;
}

void SoftmaxCentering::set_center(std::span<float const> center) {
  require(static_cast<std::int64_t>(center.size()) == prototypes(), ExitCode::input,
          "a centre of {} values for {} prototypes", center.size(), prototypes());
  copy_to_space(space_, center_, center);
}

}  // namespace dino
