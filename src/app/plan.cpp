// SPDX-License-Identifier: Apache-2.0
#include "train/plan.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <numeric>
#include <string>

#include "app/command.hpp"
#include "app/load_config.hpp"

namespace dino::app {
namespace {

struct PlanOptions {
  ConfigOptions config;
  int ranks = 1;
  double gflops = 0, bandwidth = 0;
  int ranks_per_node = 1;
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

void print_bytes(train::Plan const& plan) {
  auto const row = [](char const* name, std::int64_t bytes) {
    fmt::print("  {:<28} {}\n", name, bytes_text(static_cast<double>(bytes)));
  };
  fmt::print("bytes of a rank\n");
  row("student, float32 masters", plan.student.parameters);
  row("gradients", plan.student.gradients);
  row("AdamW moments", plan.student.optimizer);
  row("teacher, float32 masters", plan.teacher.parameters);
  if (plan.gram_teacher.parameters > 0)
    row("Gram teacher, float32 masters", plan.gram_teacher.parameters);
  if (plan.frozen_teacher.parameters > 0)
    row("frozen teacher, fp32 masters", plan.frozen_teacher.parameters);
  row("gathered units", plan.student.working + plan.teacher.working + plan.gram_teacher.working +
                            plan.frozen_teacher.working);
  row("activations and scratch", plan.activation_bytes - plan.logits_bytes);
  row("logits over prototypes", plan.logits_bytes);
  row("peak", plan.total_bytes());
}

void print_time(train::Plan const& plan, PlanOptions const& options, Config const& config) {
  if (options.gflops <= 0) {
    fmt::print("time: give --gflops (a rank's rate of matrix products, see dino bench gemm)\n");
    return;
  }
  double const compute = plan.matrix_flops / (options.gflops * 1e9);
  double const traffic = options.bandwidth > 0
                             ? (plan.gather_bytes + plan.reduce_bytes) / (options.bandwidth * 1e9)
                             : 0;
  double const step = compute + traffic;  // without overlap: the most
  fmt::print("time of a step, at most        {:.3f} s ({:.3f} s compute, {:.3f} s traffic)\n", step,
             compute, traffic);
  fmt::print("images per second              {:.1f}\n",
             static_cast<double>(config.data.batch_size) / step);
  auto const steps = config.run.steps.value_or(
      config.run.epoch_length ? config.run.epochs * *config.run.epoch_length : 0);
  if (steps == 0) return;
  auto const nodes = (plan.ranks + options.ranks_per_node - 1) / options.ranks_per_node;
  fmt::print("node-hours of {:<8} steps   {:.1f}\n", steps,
             step * static_cast<double>(steps) * nodes / 3600);
}

/// \param all_ranks  of all students; 0: there is one
void print_student(Config const& config, int ranks, int all_ranks, PlanOptions const& options) {
  auto const plan = train::make_plan(config, ranks, all_ranks);
  if (all_ranks > 0) fmt::print("\nstudent {}\n", config.run.dir);
  fmt::print("{} on {} ranks: {} micro-batches of {} images each, {}\nparameters of the student\n",
             config.method, plan.ranks, plan.micro_batches, plan.images, config.run.precision);
  for (auto const& [module, count] : plan.parameters)
    fmt::print("  {:<28} {:>14}\n", module, count);
  print_bytes(plan);
  fmt::print("a step of a rank\n  {:<28} {}\n  {:<28} {}\n  {:<28} {}\n", "matrix products",
             flops_text(plan.matrix_flops), "gathered from other ranks",
             bytes_text(plan.gather_bytes), "gradients sent", bytes_text(plan.reduce_bytes));
  print_time(plan, options, config);
}

ExitCode print_plan(Communicator const& world, PlanOptions const& options) {
  auto const set = options.config.load_students(world);
  if (world.rank() != 0) return ExitCode::finished;
  if (set.ranks.empty()) {
    print_student(set.students.front(), options.ranks, 0, options);
    return ExitCode::finished;
  }
  auto const all = std::accumulate(set.ranks.begin(), set.ranks.end(), std::int64_t{0});
  for (std::size_t i = 0; i < set.students.size(); ++i)
    print_student(set.students[i], static_cast<int>(set.ranks[i]), static_cast<int>(all), options);
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
  command.add_option("--ranks-per-node", options->ranks_per_node, "for node-hours")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--gflops", options->gflops, "rate of a rank's matrix products, GFLOP/s");
  command.add_option("--bandwidth", options->bandwidth, "network bandwidth of a rank, GB/s");
  command.callback([options, &action] {
    action = [options](Communicator const& world) { return print_plan(world, *options); };
  });
}

}  // namespace dino::app
