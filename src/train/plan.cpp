// SPDX-License-Identifier: Apache-2.0
#include "train/plan.hpp"

#include "train/frozen_teacher.hpp"
#include "train/make_step.hpp"
#include "train/slice.hpp"

namespace dino::train {
namespace {

std::int64_t bytes_of(shard::StoreBytes const& bytes) {
  return bytes.parameters + bytes.gradients + bytes.optimizer + bytes.working;
}

shard::StoreBytes sum_of(shard::StoreBytes const& a, shard::StoreBytes const& b) {
  return {.parameters = a.parameters + b.parameters,
          .gradients = a.gradients + b.gradients,
          .optimizer = a.optimizer + b.optimizer,
          .working = a.working + b.working};
}

/// Values of all units, padding included.
template <class T>
double padded_size(shard::ParameterStore<T> const& store) {
  double size = 0;
  for (int unit = 0; unit < store.units(); ++unit)
    size += static_cast<double>(store.layout(unit).size());
  return size;
}

/// Bytes of values in T that lie spread over a group and are gathered so many times.
template <class T>
double gathered(double values, int group, double times) {
  auto const ranks = static_cast<double>(group);
  return (ranks - 1) / ranks * values * static_cast<double>(sizeof(T)) * times;
}

/// Bytes that the teachers' passes gather. Prototypes are gathered once a step.
template <class T>
double teacher_traffic(Plan const& plan, TrainingStep<T>& step, shard::Strategy const& strategy) {
  auto const passes = static_cast<double>(plan.micro_batches);
  auto const group = strategy.group_size;
  double bytes = 0;
  if (auto* const frozen = step.frozen_teacher()) {
    auto const& shared = frozen->source().shared;
    auto const [model, prototypes] = frozen->stores();
    bytes = gathered<T>(padded_size(*prototypes), group, 1) +
            (shared ? gathered<T>(padded_size(*model), shared->ranks.size(),
                                  static_cast<double>(shared->micro_batches))
                    : gathered<T>(padded_size(*model), group, passes));
  } else {
    bytes = gathered<T>(padded_size(step.teacher().store), group, passes);
  }
  auto const* const gram = step.gram_teacher();
  return bytes + (gram == nullptr ? 0.0 : gathered<T>(padded_size(*gram), group, passes));
}

/// Bytes that move between ranks in one step. A unit is gathered for each teacher's pass, and for
/// the student's forward and backward unless it stays; its gradient is reduced in float32.
template <class T>
void add_traffic(Plan& plan, TrainingStep<T>& step, shard::Strategy const& strategy) {
  auto const size = padded_size(step.student().store);
  auto const group = static_cast<double>(strategy.group_size);
  auto const passes = static_cast<double>(plan.micro_batches);
  auto const student = strategy.reshard_after_forward ? 2 * passes : 1;
  plan.gather_bytes =
      gathered<T>(size, strategy.group_size, student) + teacher_traffic(plan, step, strategy);
  plan.reduce_bytes = (group - 1) / group * size * 4 * passes;
  auto const replicas = static_cast<double>(plan.ranks) / group;
  plan.reduce_bytes += 2 * (replicas - 1) / replicas * size / group * 4;
}

template <class T>
Plan plan_in(Config const& config, int ranks, int all_ranks) {
  auto const strategy = make_strategy(config, ranks);
  Tally tally;
  std::optional<Communicator> students;
  if (all_ranks > 0) students = Communicator::imaginary(all_ranks);
  auto const teacher = find_teacher(Communicator::self(), config, students);
  auto const step =
      make_step<T>(Dry{&tally}, Communicator::imaginary(ranks), strategy, config, teacher);
  Plan plan{.ranks = ranks,
            .parameters = count_parameters(model_shape(config)),
            .student = step->student().store.bytes(),
            .teacher = step->teacher().store.bytes()};
  if (auto const* const gram = step->gram_teacher()) plan.gram_teacher = gram->bytes();
  if (auto* const frozen = step->frozen_teacher()) {
    for (auto const* const store : frozen->stores())
      plan.frozen_teacher = sum_of(plan.frozen_teacher, store->bytes());
  }
  plan.images = largest_micro_batch(ranks, config.data.batch_size, config.run.micro_batch);
  plan.micro_batches = micro_batches(ranks, config.data.batch_size, config.run.micro_batch);
  auto const cost = step_cost<T>(config, plan.images, plan.micro_batches, teacher);
  plan.activation_bytes = cost.arena_bytes;
  plan.logits_bytes = cost.logits_bytes;
  plan.matrix_flops = cost.matrix_flops;
  add_traffic(plan, *step, strategy);
  return plan;
}

}  // namespace

std::map<std::string, std::int64_t> count_parameters(ModelShape const& shape) {
  std::map<std::string, std::int64_t> count;
  for (auto const& unit : model_units(shape)) {
    auto& module = count[unit.prefix.substr(0, unit.prefix.find('.'))];
    for (auto const& parameter : unit.parameters) module += parameter.size();
  }
  return count;
}

std::int64_t Plan::total_bytes() const {
  return bytes_of(student) + bytes_of(teacher) + bytes_of(gram_teacher) + bytes_of(frozen_teacher) +
         activation_bytes;
}

Plan make_plan(Config const& config, int ranks, int all_ranks) {
  return config.run.precision == "bf16" ? plan_in<bfloat16>(config, ranks, all_ranks)
                                        : plan_in<float>(config, ranks, all_ranks);
}

}  // namespace dino::train
