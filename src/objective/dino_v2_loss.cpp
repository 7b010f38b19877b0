// SPDX-License-Identifier: Apache-2.0
#include "objective/dino_v2_loss.hpp"

#include <algorithm>
#include <array>

namespace dino {
namespace {

/// Gradient factor of a term of which the loss is kept per image of the global batch.
double share_of_objective(DinoV2Settings const& settings) {
  return settings.loss_weight / static_cast<double>(settings.pairs.total());
}

template <class T>
DinoCrossEntropy<T> cross_entropy(View<float const, 2> student, View<float const, 2> targets,
                                  DinoV2Settings const& settings, View<T, 2> dlogits) {
  return {.student = student,
          .teacher = targets,
          .batch = settings.images,
          .temperature = static_cast<float>(settings.student_temperature),
          .weight = 1.0 / static_cast<double>(settings.global_batch),
          .dlogits = dlogits,
          .loss = {},
          .pairing = CropPairing::all,
          .teacher_crops = settings.images == 0 ? 0 : targets.extent(0) / settings.images,
          .gradient_factor = share_of_objective(settings)};
}

}  // namespace

CropPairs CropPairs::v2(std::int64_t local_crops) {
  return {.global = 2, .local = std::max<std::int64_t>(2 * local_crops, 1)};
}

CropPairs CropPairs::v3(std::int64_t local_crops, CropPairing global_pairing) {
  return {.global = global_pairing == CropPairing::different ? 2 : 4,
          .local = 2 * local_crops,
          .global_pairing = global_pairing};
}

double DinoTerms::objective(DinoV2Settings const& settings) const {
  return share_of_objective(settings) * (settings.local_weight * local + global);
}

DinoV2Loss::DinoV2Loss(Space const& space)
    : space_(space),
      memory_(space, 2 * sizeof(double)),
      local_(memory_.as<double>(0, 1)),
      global_(memory_.as<double>(sizeof(double), 1)) {}

void DinoV2Loss::begin_step() {
  copy_to_space(space_, local_, std::span<double const>(std::array{0.0}));
  copy_to_space(space_, global_, std::span<double const>(std::array{0.0}));
}

template <class T>
void DinoV2Loss::add_local(View<float const, 2> student, View<float const, 2> targets,
                           DinoV2Settings const& settings, View<T, 2> dlogits) {
  auto op = cross_entropy(student, targets, settings, dlogits);
  op.loss = local_;
  op.gradient_factor *= settings.local_weight;
  run(space_, op);
}

template <class T>
void DinoV2Loss::add_global(View<float const, 2> student, View<float const, 2> targets,
                            DinoV2Settings const& settings, View<T, 2> dlogits) {
  auto op = cross_entropy(student, targets, settings, dlogits);
  op.loss = global_;
  op.pairing = settings.pairs.global_pairing;
  run(space_, op);
}

DinoTerms DinoV2Loss::local_terms() const {
  DinoTerms terms;
  copy_to_host(space_, std::span(&terms.local, 1), View<double const, 1>(local_));
  copy_to_host(space_, std::span(&terms.global, 1), View<double const, 1>(global_));
  return terms;
}

template void DinoV2Loss::add_local<float>(View<float const, 2>, View<float const, 2>,
                                           DinoV2Settings const&, View<float, 2>);
template void DinoV2Loss::add_local<bfloat16>(View<float const, 2>, View<float const, 2>,
                                              DinoV2Settings const&, View<bfloat16, 2>);
template void DinoV2Loss::add_global<float>(View<float const, 2>, View<float const, 2>,
                                            DinoV2Settings const&, View<float, 2>);
template void DinoV2Loss::add_global<bfloat16>(View<float const, 2>, View<float const, 2>,
                                               DinoV2Settings const&, View<bfloat16, 2>);

}  // namespace dino
