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
  sums_memory_ = Buffer(space, static_cast<std::int64_t>(2 * slots_.size() * sizeof(double)));
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
  auto const sums =
      sums_memory_.template as<double>().rows(0, static_cast<std::int64_t>(slots_.size()));
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
bool AdamW<T>::skipped(Slot const& slot, StepValues const& values) const {
  return (values.freeze_last_layer && slot.group.last_layer) ||
         (values.heads_only && modules_[slot.module] == "backbone");
}

/// Of every slot, skipped or not.
template <class T>
auto AdamW<T>::updates(StepValues const& values, std::vector<double> const& norms) const
    -> std::vector<Update> {
  std::vector<double> module_norms(modules_.size(), 0.0);
  for (std::size_t i = 0; i < slots_.size(); ++i)
    module_norms[slots_[i].module] += norms[i] * norms[i];
  for (auto& norm : module_norms) norm = std::sqrt(norm);
  std::vector<Update> all;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    auto const& slot = slots_[i];
    auto const& group = slot.group;
    auto const overlap = store_.layout(slot.unit).overlap(slot.parameter, store_.part());
    auto const begin = overlap.in_part;
    auto const end = begin + overlap.count;
    auto const lr = group.last_layer ? values.last_layer_lr.value_or(values.lr) : values.lr;
    all.push_back({.parameter = store_.master(slot.unit).rows(begin, end),
                   .exp_avg = store_.exp_avg(slot.unit).rows(begin, end),
                   .exp_avg_sq = store_.exp_avg_sq(slot.unit).rows(begin, end),
                   .gradient = store_.gradient_part(slot.unit).rows(begin, end),
                   .gradient_scale = static_cast<float>(
                       clip_factor(slot, norms[i], module_norms, values.clip_grad)),
                   .lr = lr * group.lr,
                   .weight_decay = values.weight_decay * group.weight_decay});
  }
  return all;
}

/// LARS's factor of every slot, 0.001 ‖θ‖/‖d‖; 1 for vectors and where a norm is 0.
template <class T>
std::vector<double> AdamW<T>::trust(std::vector<Update> const& updates) const {
  if (rules_.algorithm != Algorithm::lars) return std::vector<double>(slots_.size(), 1.0);
  constexpr double eta = 0.001;  // method.md 6.1
  auto const sums = sums_memory_.template as<double>();
  std::vector<double> squares(2 * slots_.size(), 0.0), out;
  copy_to_space(space_, sums, std::span<double const>(squares));
  for (std::size_t i = 0; i < updates.size(); ++i) {
    auto const at = static_cast<std::int64_t>(2 * i);
    run(space_, TrustSums{.parameter = updates[i].parameter,
                          .gradient = updates[i].gradient,
                          .gradient_scale = updates[i].gradient_scale,
                          .weight_decay = updates[i].weight_decay,
                          .sums = sums.rows(at, at + 2)});
  }
  copy_to_host(space_, std::span(squares), View<double const, 1>(sums));
  store_.group().sum(std::span(squares));
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    auto const& shape = store_.layout(slots_[i].unit).spec().parameters[slots_[i].parameter].shape;
    double const parameter = std::sqrt(squares[2 * i]), update = std::sqrt(squares[2 * i + 1]);
    bool const scaled = shape.size() != 1 && parameter > 0 && update > 0;
    out.push_back(scaled ? eta * parameter / update : 1.0);
  }
  return out;
}

template <class T>
void AdamW<T>::step(StepValues const& values, std::vector<double> const& norms) {
  auto const all = updates(values, norms);
  auto const trusts = trust(all);
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    auto const& update = all[i];
    if (skipped(slots_[i], values)) continue;
    ++slots_[i].steps;
    if (rules_.algorithm != Algorithm::adamw) {
      run(space_, MomentumStep{.parameter = update.parameter,
                               .buffer = update.exp_avg,
                               .gradient = update.gradient,
                               .gradient_scale = update.gradient_scale,
                               .lr = update.lr,
                               .weight_decay = update.weight_decay,
                               .trust = trusts[i]});
      continue;
    }
    run(space_, AdamWStep{.parameter = update.parameter,
                          .exp_avg = update.exp_avg,
                          .exp_avg_sq = update.exp_avg_sq,
                          .gradient = update.gradient,
                          .gradient_scale = update.gradient_scale,
                          .lr = update.lr,
                          .weight_decay = update.weight_decay,
                          .beta1 = values.beta1,
                          .beta2 = values.beta2,
                          .eps = values.eps,
                          .step = slots_[i].steps});
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
