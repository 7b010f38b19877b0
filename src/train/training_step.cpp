// SPDX-License-Identifier: Apache-2.0
#include "train/training_step.hpp"

#include <cmath>

#include "base/error.hpp"
#include "train/frozen_teacher.hpp"
#include "train/part_timer.hpp"

namespace dino::train {

template <class T>
TrainingStep<T>::TrainingStep(Space const& space, Communicator const& world,
                              shard::Strategy const& strategy, ModelShape const& shape,
                              optim::ParameterRules const& rules)
    : space_(space),
      world_(world),
      spread_(shape.dim()),
      groups_(shard::ShardGroups::make(space, world, strategy)),
      student_(space, world, groups_, strategy, shape, shard::Role::student),
      teacher_(space, world, groups_, strategy, shape, shard::Role::teacher),
      optimizer_(space, student_.store, rules) {}

template <class T>
void TrainingStep<T>::initialize(std::uint64_t seed) {
  student_.store.initialize(seed);
  teacher_.store.initialize(seed);
  student_.store.invalidate();
  teacher_.store.invalidate();
}

template <class T>
void TrainingStep<T>::begin(std::int64_t global_batch) {
  global_batch_ = global_batch;
  timer_.begin_step();
  student_.store.zero_gradients();
  student_.begin_step();
  teacher_.begin_step();
  spread_.begin_step();
  begin_losses();
}

template <class T>
StepResult TrainingStep<T>::finish(StepSettings const& settings, std::int64_t step, bool stop) {
  StepResult result;
  auto const terms = local_terms();
  auto const count = terms.size();
  // One flag for each rank and term, then the terms, then the wish to stop.
  std::vector<double> shared(static_cast<std::size_t>(world_.size()) * count + count + 1, 0.0);
  auto const sums = std::span(shared).last(count + 1);
  {
    Stopwatch const watch(timer_, Part::communication);
    student_.store.finish_gradients();
    for (std::size_t i = 0; i < count; ++i) {
      shared[static_cast<std::size_t>(world_.rank()) * count + i] =
          std::isfinite(terms[i].value) ? 0.0 : 1.0;
      sums[i] = terms[i].value;
    }
    sums[count] = stop ? 1.0 : 0.0;
    world_.sum(std::span(shared));
    result.gradient_norms = optimizer_.gradient_norms();
  }
  for (std::size_t i = 0; i < count; ++i) {
    result.loss += terms[i].weight * sums[i];
    if (count > 1) result.terms[terms[i].name] = sums[i];
  }
  result.stop = sums[count] > 0;
  if (auto fault = find_fault(shared, terms, result.gradient_norms)) {
    result.fault = fmt::format("step {}: {}", step + 1, *fault);
    return result;
  }
  Stopwatch const watch(timer_, Part::optimizer);
  update(settings, result.gradient_norms);
  result.teacher = finish_losses();
  result.feature_spread = spread_.finish_step(world_);
  return result;
}

template <class T>
std::optional<std::string> TrainingStep<T>::find_fault(std::span<double const> flags,
                                                       std::vector<Term> const& terms,
                                                       std::vector<double> const& norms) const {
  for (std::size_t i = 0; i < static_cast<std::size_t>(world_.size()) * terms.size(); ++i) {
    if (flags[i] != 0)
      return fmt::format("the {} of rank {} is not finite", terms[i % terms.size()].name,
                         i / terms.size());
  }
  for (std::size_t i = 0; i < norms.size(); ++i) {
    if (!std::isfinite(norms[i]))
      return fmt::format("the gradient of {} is not finite", optimizer_.slots()[i].name);
  }
  return std::nullopt;
}

template <class T>
void TrainingStep<T>::update(StepSettings const& settings, std::vector<double> const& norms) {
  optimizer_.step({.lr = settings.lr,
                   .last_layer_lr = settings.last_layer_lr,
                   .weight_decay = settings.weight_decay,
                   .clip_grad = settings.clip_grad,
                   .freeze_last_layer = settings.freeze_last_layer,
                   .heads_only = settings.heads_only,
                   .beta1 = settings.beta1,
                   .beta2 = settings.beta2,
                   .eps = settings.eps},
                  norms);
  student_.finish_step(settings.heads_only);
  if (settings.heads_only) return;
  teacher_.finish_step(false);
  optim::update_teacher(space_, teacher_.store, student_.store, settings.momentum);
  after_teacher_update(settings);
}

template <class T>
View<T, 2> TrainingStep<T>::teacher_features(Arena& arena, ImageView images) {
  return teacher_.backbone->features(arena, std::span(&images, 1), {}, Mode::evaluation, Keep::no);
}

template <class T>
void TrainingStep<T>::poll() {
  student_.store.poll();
  teacher_.store.poll();
  if (auto* const frozen = frozen_teacher())
    for (auto* const store : frozen->stores()) store->poll();
}

template class TrainingStep<float>;
template class TrainingStep<bfloat16>;

}  // namespace dino::train
