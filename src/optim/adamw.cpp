// SPDX-License-Identifier: Apache-2.0
#include "optim/adamw.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/elementwise.hpp"
#include "kernels/optimizer.hpp"

namespace dino::optim {

constexpr double clip_eps = 1e-6;  // method.md 6.5

template <class T>
AdamW<T>::AdamW(Space const& space, shard::ParameterStore<T>& store)
    : space_(space), store_(store) {
  for (int unit = 0; unit < store.units(); ++unit) {
    auto const& spec = store.layout(unit).spec();
    for (std::size_t p = 0; p < spec.parameters.size(); ++p) {
      if (spec.parameters[p].trained == shard::Trained::no) continue;
      slots_.push_back(
          {.unit = unit, .parameter = p, .name = spec.prefix + spec.parameters[p].name});
    }
  }
  sums_memory_ = Buffer(space, static_cast<std::int64_t>(slots_.size() * sizeof(double)));
}

template <class T>
std::vector<double> AdamW<T>::gradient_norms() const {
  auto const sums = sums_memory_.template as<double>();
  std::vector<double> values(slots_.size(), 0.0);
  copy_to_space(space_, sums, std::span<double const>(values));
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    auto const overlap = store_.layout(slots_[i].unit).overlap(slots_[i].parameter, store_.part());
    auto const gradient =
        store_.gradient_part(slots_[i].unit).rows(overlap.in_part, overlap.in_part + overlap.count);
    auto const at = static_cast<std::int64_t>(i);
    run(space_, SumOfSquares{.x = gradient, .sum = sums.rows(at, at + 1)});
  }
  copy_to_host(space_, std::span(values), View<double const, 1>(sums));
  store_.group().sum(std::span(values));
  for (auto& v : values) v = std::sqrt(v);
  return values;
}

template <class T>
void AdamW<T>::step(StepValues const& values, std::vector<double> const& norms) {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    auto& slot = slots_[i];
    auto const& layout = store_.layout(slot.unit);
    auto const& spec = layout.spec().parameters[slot.parameter];
    if (values.freeze_last_layer && spec.last_layer) continue;
    ++slot.steps;
    auto const overlap = layout.overlap(slot.parameter, store_.part());
    auto const begin = overlap.in_part;
    auto const end = begin + overlap.count;
    double const clip =
        values.clip_grad > 0 ? std::min(1.0, values.clip_grad / (norms[i] + clip_eps)) : 1.0;
    run(space_,
        AdamWStep{.parameter = store_.master(slot.unit).rows(begin, end),
                  .exp_avg = store_.exp_avg(slot.unit).rows(begin, end),
                  .exp_avg_sq = store_.exp_avg_sq(slot.unit).rows(begin, end),
                  .gradient = store_.gradient_part(slot.unit).rows(begin, end),
                  .gradient_scale = static_cast<float>(clip),
                  .lr = values.lr,
                  .weight_decay = spec.decay == shard::Decay::yes ? values.weight_decay : 0.0,
                  .beta1 = values.beta1,
                  .beta2 = values.beta2,
                  .eps = values.eps,
                  .step = slot.steps});
  }
  store_.invalidate();
}

template <class T>
void update_teacher(Space const& space, shard::ParameterStore<T>& teacher,
                    shard::ParameterStore<T> const& student, double momentum) {
  for (int unit = 0; unit < student.units(); ++unit) {
    run(space, EmaUpdate{.teacher = teacher.master(unit),
                         .student = student.master(unit),
                         .momentum = momentum});
  }
  teacher.invalidate();
}

template class AdamW<float>;
template class AdamW<bfloat16>;
template void update_teacher(Space const&, shard::ParameterStore<float>&,
                             shard::ParameterStore<float> const&, double);
template void update_teacher(Space const&, shard::ParameterStore<bfloat16>&,
                             shard::ParameterStore<bfloat16> const&, double);

}  // namespace dino::optim
