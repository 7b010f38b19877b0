// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "app/command.hpp"
#include "app/load_config.hpp"
#include "base/log.hpp"
#include "kernels/bench.hpp"
#include "train/device.hpp"
#include "train/step_figure.hpp"

namespace dino::app {
namespace {

using Json = nlohmann::ordered_json;

struct StepBench {
  ConfigOptions config;
  std::int64_t steps = 5;
  std::int64_t peak = 8192;
};

Json bytes_json(shard::StoreBytes const& bytes) {
  return {{"parameters", bytes.parameters},
          {"gradients", bytes.gradients},
          {"optimizer", bytes.optimizer},
          {"working", bytes.working}};
}

Json times_json(train::StepTimes const& times) {
  Json json;
  for (std::size_t i = 0; i < train::part_names.size(); ++i)
    json[train::part_names[i]] = times[static_cast<train::Part>(i)];
  return json;
}

/// Time by part, for people. What is in no row, such as the start of a step, is `other`.
std::string times_table(train::StepFigure const& figure) {
  std::string table = fmt::format("{:<18} {:>10} {:>7}", "part of the step", "s", "share");
  for (std::size_t i = 0; i < train::part_names.size(); ++i) {
    auto const seconds = figure.times[static_cast<train::Part>(i)];
    table += fmt::format("\n{:<18} {:>10.6f} {:>6.1f}%", train::part_names[i], seconds,
                         100 * seconds / figure.seconds);
  }
  return table;
}

/// Widths of a layer that the rate of a step is compared with: the second branch of a block, or the
/// first convolution of a third-stage bottleneck.
std::pair<std::int64_t, std::int64_t> typical_layer(train::ModelShape const& shape) {
  if (shape.resnet) return {16 * shape.resnet->width, 4 * shape.resnet->width};
  return {shape.backbone.embed_dim, shape.backbone.mlp_hidden};
}

/// Time of the forward product and both backward products of a layer: their common rate.
double common_rate(GemmFigure const& figure) {
  return 3.0 / (1 / figure.forward + 1 / figure.backward_input + 1 / figure.backward_weight);
}

struct GemmRates {
  double layer = 0;  ///< of a layer of the model, GFLOP/s of this rank
  double peak = 0;   ///< the best of it and of large square products
};

/// By the same library on the same device; the same ranks at once, as in the step: they share cores
/// and memory.
GemmRates measure_rates(Communicator const& world, Config const& config, std::int64_t square) {
  auto const space = train::make_space(world, config.run.device);
  auto const precision = config.run.precision == "bf16" ? Precision::bf16 : Precision::fp32;
  auto const [in, out] = typical_layer(train::model_shape(config));
  GemmRates rates;
  rates.layer = common_rate(measure_gemm(space, precision, 4096, in, out, 2.0));
  rates.peak = rates.layer;
  if (is_host(space)) return rates;
  for (auto const& figure : {measure_gemm(space, precision, 32768, in, out, 1.0),
                             measure_gemm(space, precision, square, square, square, 1.0)})
    rates.peak = std::max({rates.peak, figure.forward, figure.backward_input});
  return rates;
}

/// What the ranks on rank 0's device planned to take of it, and took.
Json memory_json(train::DeviceShare const& before, train::DeviceShare const& after) {
  auto const used = before.free - after.free;
  return {{"ranks_on_device", before.ranks},
          {"total_bytes", before.total},
          {"free_bytes_before", before.free},
          {"planned_bytes", before.planned},
          {"used_bytes", used},
          {"used_by_planned", static_cast<double>(used) / static_cast<double>(before.planned)}};
}

ExitCode bench_step(Communicator const& world, Config const& config, StepBench const& options) {
  auto const figure = train::measure_step(world, config, options.steps);
  auto const gemm = measure_rates(world, config, options.peak);
  Json json{{"bench", "step"},
            {"ranks", world.size()},
            {"device", figure.device ? "cuda" : "host"},
            {"precision", config.run.precision},
            {"batch_size", config.data.batch_size},
            {"parameters", figure.parameters},
            {"seconds_per_step", figure.seconds},
            {"images_per_second", figure.images_per_second},
            {"gflops_per_rank", figure.gflops},
            {"gemm_gflops_per_rank", gemm.layer},
            {"share_of_gemm", figure.gflops / gemm.layer},
            {"gemm_peak_gflops_per_rank", gemm.peak},
            {"share_of_gemm_peak", figure.gflops / gemm.peak},
            {"arena_bytes", figure.arena_bytes},
            {"logits_bytes", figure.logits_bytes},
            {"student_bytes", bytes_json(figure.student)},
            {"teacher_bytes", bytes_json(figure.teacher)},
            {"seconds", times_json(figure.times)}};
  if (figure.device) {
    json["device_memory"] = memory_json(*figure.device, *figure.device_after);
    json["launches_per_step"] = {{"kernels", figure.launches.kernels},
                                 {"library_calls", figure.launches.products},
                                 {"copies_to_device", figure.launches.copies_in},
                                 {"copies_to_host", figure.launches.copies_out}};
  }
  if (world.rank() == 0) {
    log::info("{}", times_table(figure));
    fmt::print("{}\n", json.dump(2));
  }
  return ExitCode::finished;
}

}  // namespace

void declare_bench_step(CLI::App& command, Action& action) {
  auto const options = std::make_shared<StepBench>();
  options->config.declare(command);
  command.add_option("--steps", options->steps, "measured steps; the fastest counts")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      .add_option("--peak", options->peak,
                  "rows and columns of the square products that give a device's peak")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.callback([options, &action] {
    action = [options](Communicator const& world) {
      return bench_step(world, options->config.load(world), *options);
    };
  });
}

}  // namespace dino::app
