// SPDX-License-Identifier: Apache-2.0
#include "train/plan.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>

#include "app/command.hpp"
#include "app/load_config.hpp"
#include "base/log.hpp"

namespace dino::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr double gib = 1 << 30;

struct PlanOptions {
  ConfigOptions config;
  int ranks = 1;
  std::string machine;
  std::optional<std::int64_t> images;
  bool json = false;
};

/// A whole run on a machine.
struct RunTime {
  Machine machine;
  train::PlannedTime step;
  double images_per_second = 0;
  std::int64_t nodes = 1;
  std::optional<std::int64_t> steps;  ///< unset: nobody said how large the data set is
  double hours() const { return step.step() * static_cast<double>(steps.value_or(0)) / 3600; }
  double node_hours() const { return hours() * static_cast<double>(nodes); }
};

std::string readable(double value, double base, std::initializer_list<char const*> units) {
  auto unit = units.begin();
  for (; value >= base && unit + 1 != units.end(); ++unit) value /= base;
  return fmt::format("{:8.2f} {}", value, *unit);
}
std::string bytes_text(double bytes) {
  return readable(bytes, 1024, {"bytes", "KiB", "MiB", "GiB", "TiB"});
}
std::string flops_text(double flops) {
  return readable(flops, 1000, {"FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP"});
}

void row(char const* name, std::string const& value) {
  fmt::print("  {:<38} {}\n", name, value);
}

void print_parameters(train::Plan const& plan) {
  fmt::print("parameters of the student\n");
  std::int64_t all = 0;
  for (auto const& [module, count] : plan.parameters) {
    row(module.c_str(), fmt::format("{:>14}", count));
    all += count;
  }
  row("all", fmt::format("{:>14}", all));
}

void print_bytes(train::PlannedMemory const& memory) {
  fmt::print("bytes of a rank\n");
  for (auto const& [name, bytes] : train::parts_of(memory))
    row(name, bytes_text(static_cast<double>(bytes)));
  row("peak", bytes_text(static_cast<double>(memory.total_bytes())));
}

void print_work(train::StepWork const& work, double shared_gathers) {
  fmt::print("a step of a rank\n");
  row("matrix products", flops_text(work.matrix_flops));
  row("parameters, received in all-gathers", bytes_text(work.group.gathered));
  row("gradients, sent in reduce-scatters", bytes_text(work.group.scattered));
  row("gradients, summed over replicas", bytes_text(work.replicas.summed));
  row("norms, centres, Sinkhorn-Knopp sums", bytes_text(work.group.summed + work.world.summed));
  row("features for KoLeo", bytes_text(work.world.gathered - shared_gathers));
  if (shared_gathers > 0) row("parameters of a shared teacher", bytes_text(shared_gathers));
  row("features for Gram of the batch", bytes_text(work.world.broadcast));
}

void print_sizes(train::Plan const& plan) {
  if (plan.of_sizes.empty()) return;
  fmt::print(
      "a step of a rank by sizes of crops; peak above: the largest, products above: the mean\n");
  for (auto const& [sizes, bytes, flops] : plan.of_sizes) {
    auto const name = fmt::format(
        "{} + {}{}, {:.1f} %", sizes.global, sizes.local,
        sizes.gram ? fmt::format(", Gram {}", *sizes.gram) : std::string(), 100 * sizes.share);
    row(name.c_str(), bytes_text(static_cast<double>(bytes)) + " " + flops_text(flops));
  }
}

RunTime run_time(train::Plan const& plan, Config const& config, PlanOptions const& options) {
  RunTime run{.machine = load_machine(options.machine), .step = {}, .steps = {}};
  run.step = train::plan_time(plan, run.machine, config.run.precision);
  run.images_per_second = static_cast<double>(config.data.batch_size) / run.step.step();
  run.nodes = (plan.ranks + run.machine.ranks_per_node - 1) / run.machine.ranks_per_node;
  run.steps = train::planned_steps(config, options.images);
  return run;
}

void print_time(train::Plan const& plan, RunTime const& run) {
  auto const& m = run.machine;
  auto const seconds = [](double value) { return fmt::format("{:10.4f} s", value); };
  fmt::print("time on {} ({} nodes), with {:.0f} % of the peak of matrix products\n", m.name,
             run.nodes, 100 * m.matrix_efficiency);
  row("computation", seconds(run.step.compute));
  row("traffic of parameters and gradients", seconds(run.step.parameters));
  row("of it behind computation", seconds(run.step.hidden));
  row("other traffic, waited for", seconds(run.step.losses));
  row("a step", seconds(run.step.step()));
  row("a step without overlap", seconds(run.step.step_without_overlap()));
  row("images per second", fmt::format("{:10.1f}", run.images_per_second));
  if (!run.steps) {
    fmt::print("  (give --images, the size of the data set, for the length of the run)\n");
    return;
  }
  row("steps of the run", fmt::format("{:10}", *run.steps));
  row("hours", fmt::format("{:10.1f}", run.hours()));
  row("node-hours", fmt::format("{:10.1f}", run.node_hours()));
  row("rank-hours", fmt::format("{:10.1f}", run.hours() * plan.ranks));
}

/// Says so where the plan needs more memory than a rank has. \return whether it fits
bool look_at_memory(train::Plan const& plan, Config const& config, int all_ranks,
                    Machine const& machine) {
  auto const needed = static_cast<double>(plan.memory.total_bytes());
  if (needed <= machine.memory_gib * gib) return true;
  auto const change =
      train::fitting_change(config, plan.ranks, machine.memory_gib * gib, all_ranks);
  log::warning("{:.1f} GiB do not fit into the {:.1f} GiB of a rank of {}. {}", needed / gib,
               machine.memory_gib, machine.name,
               change ? "Enough would be: " + *change
                      : "Take a machine with more memory, or a smaller model");
  return false;
}

Json bytes_json(shard::StoreBytes const& bytes) {
  return {{"parameters", bytes.parameters},
          {"gradients", bytes.gradients},
          {"optimizer", bytes.optimizer},
          {"working", bytes.working}};
}

Json traffic_json(Traffic const& traffic) {
  return {{"gathered", traffic.gathered},
          {"scattered", traffic.scattered},
          {"summed", traffic.summed},
          {"broadcast", traffic.broadcast}};
}

Json time_json(train::Plan const& plan, RunTime const& run, bool fits) {
  Json json{{"name", run.machine.name},
            {"nodes", run.nodes},
            {"fits", fits},
            {"compute_seconds", run.step.compute},
            {"parameter_traffic_seconds", run.step.parameters},
            {"hidden_traffic_seconds", run.step.hidden},
            {"other_traffic_seconds", run.step.losses},
            {"step_seconds", run.step.step()},
            {"step_seconds_without_overlap", run.step.step_without_overlap()},
            {"images_per_second", run.images_per_second}};
  if (run.steps) {
    json["steps"] = *run.steps;
    json["hours"] = run.hours();
    json["node_hours"] = run.node_hours();
    json["rank_hours"] = run.hours() * plan.ranks;
  }
  return json;
}

Json sizes_json(train::Plan const& plan) {
  auto all = Json::array();
  for (auto const& [sizes, bytes, flops] : plan.of_sizes) {
    all.push_back({{"global_size", sizes.global},
                   {"local_size", sizes.local},
                   {"gram_teacher_crops_size", sizes.gram.value_or(0)},
                   {"share", sizes.share},
                   {"arena", bytes},
                   {"matrix_flops", flops}});
  }
  return all;
}

Json plan_json(train::Plan const& plan, Config const& config) {
  auto const& memory = plan.memory;
  return {{"plan", config.method},
          {"ranks", plan.ranks},
          {"precision", config.run.precision},
          {"images", memory.images},
          {"micro_batches", memory.micro_batches},
          {"parameters", plan.parameters},
          {"bytes",
           {{"student", bytes_json(memory.student)},
            {"teacher", bytes_json(memory.teacher)},
            {"gram_teacher", bytes_json(memory.gram_teacher)},
            {"frozen_teacher", bytes_json(memory.frozen_teacher)},
            {"arena", memory.activation_bytes},
            {"logits", memory.logits_bytes},
            {"crops", memory.crops_bytes},
            {"workspace", memory.workspace_bytes},
            {"peak", memory.total_bytes()}}},
          {"matrix_flops", plan.work.matrix_flops},
          {"crop_sizes", sizes_json(plan)},
          {"traffic",
           {{"group", traffic_json(plan.work.group)},
            {"replicas", traffic_json(plan.work.replicas)},
            {"world", traffic_json(plan.work.world)}}}};
}

void print_text(train::Plan const& plan, Config const& config, std::optional<RunTime> const& run) {
  fmt::print("{} on {} ranks: {} micro-batches of {} images each, {}\n", config.method, plan.ranks,
             plan.memory.micro_batches, plan.memory.images, config.run.precision);
  print_parameters(plan);
  print_bytes(plan.memory);
  print_work(plan.work, plan.memory.shared_gathers);
  print_sizes(plan);
  if (run) {
    print_time(plan, *run);
  } else {
    fmt::print("time: give --machine, such as jobs/machines/h100_dgx.toml\n");
  }
}

/// One student: text, or JSON. \param all_ranks  of all students; 0: there is one
Json plan_student(Config const& config, int ranks, int all_ranks, PlanOptions const& options) {
  auto const plan = train::make_plan(config, ranks, all_ranks);
  std::optional<RunTime> run;
  if (!options.machine.empty()) run = run_time(plan, config, options);
  if (!options.json && all_ranks > 0) fmt::print("\nstudent {}\n", config.run.dir);
  if (!options.json) print_text(plan, config, run);
  bool const fits = !run || look_at_memory(plan, config, all_ranks, run->machine);
  auto json = plan_json(plan, config);
  if (run) json["machine"] = time_json(plan, *run, fits);
  return json;
}

ExitCode print_plan(Communicator const& world, PlanOptions const& options) {
  auto const set = options.config.load_students(world);
  // All that can be wrong here is found by rank 0 and told to all.
  on_rank_zero(world, [&] {
    Json json;
    if (set.ranks.empty()) {
      json = plan_student(set.students.front(), options.ranks, 0, options);
    } else {
      auto const all = std::accumulate(set.ranks.begin(), set.ranks.end(), std::int64_t{0});
      for (std::size_t i = 0; i < set.students.size(); ++i)
        json.push_back(plan_student(set.students[i], static_cast<int>(set.ranks[i]),
                                    static_cast<int>(all), options));
    }
    if (options.json) fmt::print("{}\n", json.dump(2));
  });
  return ExitCode::finished;
}

}  // namespace

void declare_plan(CLI::App& command, Action& action) {
  auto const options = std::make_shared<PlanOptions>();
  options->config.declare(command);
  command
      .add_option("--ranks", options->ranks,
                  "ranks of the planned run; distill.ranks says it for several students")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--machine", options->machine,
                     "TOML file of the machine, for time and node-hours; see jobs/machines/");
  command
      .add_option("--images", options->images,
                  "images of the data set, where the run's length is in passes over it")
      ->check(CLI::PositiveNumber);
  command.add_flag("--json", options->json, "print one JSON object");
  command.footer("Keys of a machine file:\n" + describe_machine_keys());
  command.callback([options, &action] {
    action = [options](Communicator const& world) { return print_plan(world, *options); };
  });
}

}  // namespace dino::app
