// SPDX-License-Identifier: Apache-2.0
#include "optim/adamw.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/elementwise.hpp"
#include "kernels/optimizer.hpp"

namespace dino::optim {

constexpr double clip_eps = 1e-6;  // method.md 6.5

template <class T>
AdamW<T>::AdamW(Space const& space, shard::ParameterStore<T>& store, ParameterRules const& rules)
    : space_(space), store_(store), rules_(rules) {
  for (int unit = 0; unit < store.units(); ++unit) {
    auto const& parameters = store.layout(unit).spec().parameters;
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      if (parameters[p].trained == shard::Trained::yes) add_slot(unit, p);
    }
  }
  sums_memory_ = Buffer(space, static_cast<std::int64_t>(slots_.size() * sizeof(double)));
}

template <class T>
void AdamW<T>::add_slot(int unit, std::size_t parameter) {
  auto const& spec = store_.layout(unit).spec();
  auto const& row = spec.parameters[parameter];
  Slot slot{.unit = unit, .parameter = parameter, .name = spec.prefix + row.name};
  slot.group = {.weight_decay = row.decay == shard::Decay::yes ? 1.0 : 0.0,
                .last_layer = row.last_layer};
  if (rules_.layers) slot.group = parameter_group(slot.name, *rules_.layers);
  auto const module = slot.name.substr(0, slot.name.find('.'));
  auto const known = std::find(modules_.begin(), modules_.end(), module);
  slot.module = static_cast<std::size_t>(known - modules_.begin());
  if (known == modules_.end()) modules_.push_back(module);
  slots_.push_back(std::move(slot));
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
double AdamW<T>::clip_factor(Slot const& slot, double own_norm,
                             std::vector<double> const& module_norms, double clip_grad) const {
  if (clip_grad <= 0) return 1.0;
  auto const norm = rules_.clipping == Clipping::module ? module_norms[slot.module] : own_norm;
  return std::min(1.0, clip_grad / (norm + clip_eps));
}

template <class T>
void AdamW<T>::step(StepValues const& values, std::vector<double> const& norms) {
  std::vector<double> module_norms(modules_.size(), 0.0);
  for (std::size_t i = 0; i < slots_.size(); ++i)
    module_norms[slots_[i].module] += norms[i] * norms[i];
  for (auto& norm : module_norms) norm = std::sqrt(norm);
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    auto& slot = slots_[i];
    auto const& group = slot.group;
    if (values.freeze_last_layer && group.last_layer) continue;
    if (values.heads_only && modules_[slot.module] == "backbone") continue;
    ++slot.steps;
    auto const overlap = store_.layout(slot.unit).overlap(slot.parameter, store_.part());
    auto const begin = overlap.in_part;
    auto const end = begin + overlap.count;
    auto const lr = group.last_layer ? values.last_layer_lr.value_or(values.lr) : values.lr;
    run(space_, AdamWStep{.parameter = store_.master(slot.unit).rows(begin, end),
                          .exp_avg = store_.exp_avg(slot.unit).rows(begin, end),
                          .exp_avg_sq = store_.exp_avg_sq(slot.unit).rows(begin, end),
                          .gradient = store_.gradient_part(slot.unit).rows(begin, end),
                          .gradient_scale = static_cast<float>(
                              clip_factor(slot, norms[i], module_norms, values.clip_grad)),
                          .lr = lr * group.lr,
                          .weight_decay = values.weight_decay * group.weight_decay,
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
    if (student.is_buffers(unit)) continue;
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
