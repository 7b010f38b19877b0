// SPDX-License-Identifier: Apache-2.0
#include "train/plan.hpp"

#include "train/make_step.hpp"
#include "train/slice.hpp"

namespace dino::train {
namespace {

std::int64_t bytes_of(shard::StoreBytes const& bytes) {
  return bytes.parameters + bytes.gradients + bytes.optimizer + bytes.working;
}

/// Values of all units that are gathered, padding included.
template <class T>
double padded_size(shard::ParameterStore<T> const& store) {
  double size = 0;
  for (int unit = 0; unit < store.units(); ++unit)
    if (!store.is_buffers(unit)) size += static_cast<double>(store.layout(unit).size());
  return size;
}

/// Bytes that move between ranks in one step. A unit is gathered for each teacher's pass, and for
/// the student's forward and backward unless it stays; its gradient is reduced in float32.
template <class T>
void add_traffic(Plan& plan, TrainingStep<T>& step, shard::Strategy const& strategy) {
  auto const size = padded_size(step.student().store);
  auto const* const gram = step.gram_teacher();
  auto const gram_size = gram == nullptr ? 0.0 : padded_size(*gram);
  auto const group = static_cast<double>(strategy.group_size);
  auto const away = (group - 1) / group;  // what the other ranks of the group hold
  auto const passes = static_cast<double>(plan.micro_batches);
  auto const student = strategy.reshard_after_forward ? 2 * passes : 1;
  plan.gather_bytes =
      away * static_cast<double>(sizeof(T)) * (size * (student + passes) + gram_size * passes);
  plan.reduce_bytes = away * size * 4 * passes;
  auto const replicas = static_cast<double>(plan.ranks) / group;
  plan.reduce_bytes += 2 * (replicas - 1) / replicas * size / group * 4;
}

template <class T>
Plan plan_in(Config const& config, int ranks) {
  auto const strategy = make_strategy(config, ranks);
  Tally tally;
  auto const step = make_step<T>(Dry{&tally}, Communicator::imaginary(ranks), strategy, config);
  Plan plan{.ranks = ranks,
            .parameters = count_parameters(model_shape(config)),
            .student = step->student().store.bytes(),
            .teacher = step->teacher().store.bytes()};
  if (auto const* const gram = step->gram_teacher()) plan.gram_teacher = gram->bytes();
  plan.images = largest_micro_batch(ranks, config.data.batch_size, config.run.micro_batch);
  plan.micro_batches = micro_batches(ranks, config.data.batch_size, config.run.micro_batch);
  auto const cost = step_cost<T>(config, plan.images, plan.micro_batches);
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
    if (unit.buffers) continue;
    auto& module = count[unit.prefix.substr(0, unit.prefix.find('.'))];
    for (auto const& parameter : unit.parameters) module += parameter.size();
  }
  return count;
}

std::int64_t Plan::total_bytes() const {
  return bytes_of(student) + bytes_of(teacher) + bytes_of(gram_teacher) + activation_bytes;
}

Plan make_plan(Config const& config, int ranks) {
  return config.run.precision == "bf16" ? plan_in<bfloat16>(config, ranks)
                                        : plan_in<float>(config, ranks);
}

}  // namespace dino::train
