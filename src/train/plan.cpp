// SPDX-License-Identifier: Apache-2.0
#include "train/plan.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/device.hpp"
#include "train/frozen_teacher.hpp"
#include "train/slice.hpp"
#include "train/upload.hpp"

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

Processor planned_processor(Config const& config) {
  return config.run.device == "cuda" ? Processor::cuda : Processor::host;
}

/// The frozen teacher of a planned run. \param all_ranks  of all its students; 0: there is one
std::optional<TeacherSource> planned_teacher(Config const& config, int all_ranks) {
  std::optional<Communicator> students;
  if (all_ranks > 0) students = Communicator::imaginary(all_ranks);
  return find_teacher(Communicator::self(), config, students);
}

/// Bytes that a rank receives of a frozen teacher whose passes all students' ranks share.
template <class T>
double shared_gathers(FrozenTeacher<T>& frozen) {
  auto const& shared = *frozen.source().shared;
  auto const* const passes = frozen.stores()[0];
  double values = 0;
  for (int unit = 0; unit < passes->units(); ++unit)
    values += static_cast<double>(passes->layout(unit).size());
  auto const ranks = static_cast<double>(shared.ranks.size());
  return (ranks - 1) / ranks * values * static_cast<double>(sizeof(T)) *
         static_cast<double>(shared.micro_batches);
}

template <class T>
PlannedMemory memory_in(Config const& config, int ranks,
                        std::optional<TeacherSource> const& teacher) {
  auto const strategy = make_strategy(config, ranks);
  Tally tally;
  auto const step =
      make_step<T>(Dry{&tally}, Communicator::imaginary(ranks), strategy, config, teacher);
  PlannedMemory memory{.student = step->student().store.bytes(),
                       .teacher = step->teacher().store.bytes(),
                       .gram_teacher = {},
                       .frozen_teacher = {}};
  if (auto const* const gram = step->gram_teacher()) memory.gram_teacher = gram->bytes();
  if (auto* const frozen = step->frozen_teacher()) {
    for (auto const* const store : frozen->stores())
      memory.frozen_teacher = sum_of(memory.frozen_teacher, store->bytes());
    if (frozen->source().shared) memory.shared_gathers = shared_gathers(*frozen);
  }
  memory.images = largest_micro_batch(ranks, config.data.batch_size, config.run.micro_batch);
  memory.micro_batches = micro_batches(ranks, config.data.batch_size, config.run.micro_batch);
  auto const cost =
      step_cost<T>(config, memory.images, memory.micro_batches, teacher, planned_processor(config));
  memory.activation_bytes = cost.arena_bytes;
  memory.logits_bytes = cost.logits_bytes;
  if (planned_processor(config) == Processor::host) return memory;
  if (std::is_same_v<T, bfloat16>) memory.workspace_bytes = most_workspace_bytes;
  memory.crops_bytes = student_uploads(config, memory.images, memory.micro_batches).total();
  if (teacher && teacher->shared)
    memory.crops_bytes += teacher_uploads(config, *teacher->shared).total();
  return memory;
}

template <class T>
Plan plan_in(Config const& config, int ranks, int all_ranks) {
  auto const teacher = planned_teacher(config, all_ranks);
  Plan plan{.ranks = ranks,
            .group_size = make_strategy(config, ranks).group_size,
            .parameters = count_parameters(model_shape(config)),
            .memory = memory_in<T>(config, ranks, teacher),
            .work = {},
            .of_sizes = {}};
  auto const all = config::crop_sizes(config.crops);
  for (auto const& sizes : all) {
    auto const work = step_work<T>(config, sizes, ranks, teacher);
    plan.work.add(work, sizes.share);
    if (all.size() == 1) break;
    auto const cost = step_cost<T>(config, sizes, plan.memory.images, plan.memory.micro_batches,
                                   teacher, planned_processor(config));
    plan.of_sizes.push_back({sizes, cost.arena_bytes, work.matrix_flops});
  }
  plan.work.world.gathered += plan.memory.shared_gathers;
  return plan;
}

/// Members of a communicator: how many there are, and how many of them share a node.
struct Members {
  int all = 1, on_node = 1;
};

/// Time that a ring takes for so many bytes of each rank. What enters a node comes through the
/// network shares of all members on it, and what a rank receives through its own link in the node.
double ring_seconds(double bytes, Members members, Machine const& machine) {
  if (members.all == 1) return 0;
  constexpr double giga = 1e9;
  auto const all = static_cast<double>(members.all), on_node = static_cast<double>(members.on_node);
  auto const nodes = all / on_node;
  auto const into_node = bytes * all / (all - 1) * (nodes - 1) / nodes;
  auto const network = into_node / (on_node * machine.network_bandwidth * giga);
  auto const inside = members.on_node > 1 ? bytes / (machine.node_bandwidth * giga) : 0.0;
  return std::max(network, inside) / machine.bandwidth_efficiency;
}

/// Ranks of a student, and of all that share its frozen teacher (0: it is alone).
struct Ranks {
  int own = 1, all = 0;
};

bool fits(Config const& config, Ranks ranks, double bytes) {
  return static_cast<double>(plan_memory(config, ranks.own, ranks.all).total_bytes()) <= bytes;
}

/// Whether some micro-batch fits; the largest of those tried is left in the configuration.
bool shrink_micro_batch(Config& config, Ranks ranks, double bytes) {
  if (model_shape(config).has_batch_norm()) return false;  // its batch cannot be cut
  for (auto images = plan_memory(config, ranks.own, ranks.all).images; images >= 1; images /= 2) {
    config.run.micro_batch = images;
    if (fits(config, ranks, bytes)) return true;
  }
  return false;
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

std::int64_t PlannedMemory::total_bytes() const {
  return bytes_of(student) + bytes_of(teacher) + bytes_of(gram_teacher) + bytes_of(frozen_teacher) +
         activation_bytes + crops_bytes + workspace_bytes;
}

std::vector<std::pair<char const*, std::int64_t>> parts_of(PlannedMemory const& memory) {
  std::vector<std::pair<char const*, std::int64_t>> parts{
      {"student, float32 masters", memory.student.parameters},
      {"gradients", memory.student.gradients},
      {"AdamW moments", memory.student.optimizer},
      {"teacher, float32 masters", memory.teacher.parameters},
      {"Gram teacher, float32 masters", memory.gram_teacher.parameters},
      {"frozen teacher, float32 masters", memory.frozen_teacher.parameters},
      {"gathered units", memory.student.working + memory.teacher.working +
                             memory.gram_teacher.working + memory.frozen_teacher.working},
      {"activations and scratch", memory.activation_bytes - memory.logits_bytes},
      {"logits over prototypes", memory.logits_bytes},
      {"crops on their way to the device", memory.crops_bytes},
      {"workspace of cuDNN, at most", memory.workspace_bytes}};
  std::erase_if(parts, [](auto const& part) { return part.second == 0; });
  return parts;
}

PlannedMemory plan_memory(Config const& config, int ranks, int all_ranks) {
  auto const teacher = planned_teacher(config, all_ranks);
  return config.run.precision == "bf16" ? memory_in<bfloat16>(config, ranks, teacher)
                                        : memory_in<float>(config, ranks, teacher);
}

Plan make_plan(Config const& config, int ranks, int all_ranks) {
  return config.run.precision == "bf16" ? plan_in<bfloat16>(config, ranks, all_ranks)
                                        : plan_in<float>(config, ranks, all_ranks);
}

std::optional<std::int64_t> planned_steps(Config const& config,
                                          std::optional<std::int64_t> dataset) {
  auto per_epoch = config.run.epoch_length;
  if (!per_epoch && dataset) per_epoch = *dataset / config.data.batch_size;
  auto steps = config.run.steps;
  if (!steps && per_epoch) steps = config.run.epochs * *per_epoch;
  if (steps) *steps += config.run.head_warmup_steps;
  return steps;
}

PlannedTime plan_time(Plan const& plan, Machine const& machine, std::string const& precision) {
  auto const peak = precision == "bf16" ? machine.bf16_tflops : machine.fp32_tflops;
  auto const per_node =
      static_cast<int>(std::min<std::int64_t>(machine.ranks_per_node, plan.ranks));
  // Groups are of consecutive ranks, and the replicas of a part as far apart as a group is large.
  Members const world{plan.ranks, per_node};
  Members const group{plan.group_size, std::min(plan.group_size, per_node)};
  Members const replicas{plan.ranks / plan.group_size, std::max(1, per_node / plan.group_size)};
  auto const& work = plan.work;
  PlannedTime time;
  time.compute = work.matrix_flops / (peak * 1e12 * machine.matrix_efficiency);
  time.parameters = ring_seconds(work.group.gathered + work.group.scattered, group, machine) +
                    ring_seconds(work.replicas.summed, replicas, machine);
  time.losses = ring_seconds(work.group.summed, group, machine) +
                ring_seconds(work.world.total(), world, machine);
  time.hidden = std::min(machine.overlap * time.parameters, time.compute);
  return time;
}

std::optional<std::string> fitting_change(Config const& config, int own_ranks, double bytes,
                                          int all_ranks) {
  Ranks const ranks{own_ranks, all_ranks};
  auto smaller = config;
  auto const micro_batch = [&] {
    return fmt::format("run.micro_batch={}", *smaller.run.micro_batch);
  };
  if (shrink_micro_batch(smaller, ranks, bytes)) return micro_batch();
  if (config.shard.strategy != "full") {
    smaller = config;
    smaller.shard.strategy = "full";
    if (fits(smaller, ranks, bytes)) return "shard.strategy=full";
    if (shrink_micro_batch(smaller, ranks, bytes)) return "shard.strategy=full " + micro_batch();
  }
  smaller = config;
  for (int more = 2 * ranks.own; ranks.all == 0 && more <= config.data.batch_size; more *= 2) {
    if (fits(smaller, {more, 0}, bytes)) return fmt::format("--ranks {}", more);
  }
  return std::nullopt;
}

}  // namespace dino::train
