// SPDX-License-Identifier: Apache-2.0
#include "objective/ibot_loss.hpp"

#include <array>

#include "kernels/softmax.hpp"

namespace dino {

IbotLoss::IbotLoss(Space const& space)
    : space_(space), memory_(space, sizeof(double)), loss_(memory_.as<double>(0, 1)) {}

void IbotLoss::begin_step() {
  copy_to_space(space_, loss_, std::span<double const>(std::array{0.0}));
}

template <class T>
void IbotLoss::add(View<float const, 2> student, View<float const, 2> targets,
                   View<float const, 1> weights, IbotSettings const& settings, View<T, 2> dlogits) {
  run(space_, TokenCrossEntropy<T>{.student = student,
                                   .teacher = targets,
                                   .row_weights = weights,
                                   .temperature = static_cast<float>(settings.student_temperature),
                                   .weight = 1.0 / static_cast<double>(settings.global_crops),
                                   .dlogits = dlogits,
                                   .loss = loss_,
                                   .gradient_factor = settings.loss_weight});
}

double IbotLoss::local_loss() const {
  double value = 0;
  copy_to_host(space_, std::span(&value, 1), View<double const, 1>(loss_));
  return value;
}

template void IbotLoss::add<float>(View<float const, 2>, View<float const, 2>, View<float const, 1>,
                                   IbotSettings const&, View<float, 2>);
template void IbotLoss::add<bfloat16>(View<float const, 2>, View<float const, 2>,
                                      View<float const, 1>, IbotSettings const&, View<bfloat16, 2>);

}  // namespace dino
