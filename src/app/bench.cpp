// SPDX-License-Identifier: Apache-2.0
#include "kernels/bench.hpp"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "app/command.hpp"
#include "app/load_config.hpp"
#include "data/loader_figure.hpp"
#include "data/open_shards.hpp"
#include "io/checkpoint_bench.hpp"
#include "train/device.hpp"

namespace dino::app {
namespace {

using Json = nlohmann::ordered_json;

ExitCode print(Communicator const& world, Json const& figures) {
  if (world.rank() == 0) fmt::print("{}\n", figures.dump(2));
  return ExitCode::finished;
}

Json gemm_json(Space const& space, Precision precision, std::int64_t rows, std::int64_t in,
               std::int64_t out, double seconds) {
  auto const figure = measure_gemm(space, precision, rows, in, out, seconds);
  return {{"rows", rows},
          {"in", in},
          {"out", out},
          {"forward_gflops", figure.forward},
          {"backward_input_gflops", figure.backward_input},
          {"backward_weight_gflops", figure.backward_weight}};
}

void declare_gemm(CLI::App& command, Action& action) {
  auto const seconds = std::make_shared<double>(1.0);
  auto const device = std::make_shared<std::string>("auto");
  command.add_option("--seconds", *seconds, "per shape")->capture_default_str();
  command.add_option("--device", *device, "where the products are computed")
      ->check(CLI::IsMember({"auto", "host", "cuda"}))
      ->capture_default_str();
  command.callback([seconds, device, &action] {
    action = [seconds, device](Communicator const& world) {
      auto const space = train::make_space(world, *device);
      Json json{
          {"bench", "gemm"}, {"ranks", world.size()}, {"device", is_host(space) ? "host" : "cuda"}};
      for (auto const& [name, precision] :
           {std::pair{"fp32", Precision::fp32}, std::pair{"bf16", Precision::bf16}}) {
        for (auto const& [rows, in, out] : {std::array<std::int64_t, 3>{4096, 384, 1536},
                                            {4096, 1536, 384},
                                            {4096, 768, 3072},
                                            {4096, 1024, 4096},
                                            {256, 256, 65536}})
          json[name].push_back(gemm_json(space, precision, rows, in, out, *seconds));
      }
      return print(world, json);
    };
  });
}

ExitCode bench_loader(Communicator const& world, Config const& config, double seconds) {
  config.require_shards();
  auto const shards = open_shards(world, config.data.shards);
  auto const figure = measure_loader(shards, config, config.data.workers, seconds);
  auto const decoding =
      measure_loader(shards, config, config.data.workers, seconds, Deliver::pictures);
  auto const space = train::make_space(world, config.run.device);
  Json json{{"bench", "loader"},
            {"ranks", world.size()},
            {"workers_per_rank", figure.workers},
            {"crops_per_image", 2 + config.crops.local_count},
            {"images", figure.images},
            {"images_per_second", world.sum(figure.images_per_second)},
            {"images_per_second_core", figure.images_per_second_core},
            {"decoded_images_per_second", world.sum(decoding.images_per_second)},
            {"decoded_images_per_second_core", decoding.images_per_second_core},
            {"images_skipped", figure.images_skipped}};
  if (!is_host(space)) {
    auto const rate = measure_device_crops(space, shards, config, seconds);
    json["device_crops_images_per_second"] = world.sum(rate);
  }
  return print(world, json);
}

void declare_loader(CLI::App& command, Action& action) {
  auto const options = std::make_shared<ConfigOptions>();
  auto const seconds = std::make_shared<double>(5.0);
  options->declare(command);
  command.add_option("--seconds", *seconds, "duration of each")->capture_default_str();
  command.callback([options, seconds, &action] {
    action = [options, seconds](Communicator const& world) {
      return bench_loader(world, options->load(world), *seconds);
    };
  });
}

struct CheckpointBench {
  std::string folder;
  std::int64_t mib = 512;
};

ExitCode bench_checkpoint(Communicator const& world, CheckpointBench const& options) {
  auto const figure = io::measure_checkpoint(world, options.folder, options.mib << 20);
  return print(world,
               {{"bench", "checkpoint"},
                {"ranks", world.size()},
                {"bytes", figure.bytes},
                {"write_gigabytes_per_second", figure.gigabytes_per_second(figure.write_seconds)},
                {"check_gigabytes_per_second", figure.gigabytes_per_second(figure.check_seconds)},
                {"read_gigabytes_per_second", figure.gigabytes_per_second(figure.read_seconds)}});
}

void declare_checkpoint(CLI::App& command, Action& action) {
  auto const options = std::make_shared<CheckpointBench>();
  options->folder = std::filesystem::temp_directory_path();
  command.add_option("--dir", options->folder, "folder on the file system in question")
      ->capture_default_str();
  command.add_option("--mib", options->mib, "size of the checkpoint, MiB")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.callback([options, &action] {
    action = [options](Communicator const& world) { return bench_checkpoint(world, *options); };
  });
}

}  // namespace

void declare_bench(CLI::App& command, Action& action) {
  command.require_subcommand(1);
  declare_bench_step(*command.add_subcommand("step", "a training step without data"), action);
  declare_loader(*command.add_subcommand(
                     "loader", "read, decode, augment; decode alone, and augment on the device"),
                 action);
  declare_gemm(*command.add_subcommand("gemm", "matrix products of linear layers"), action);
  declare_checkpoint(*command.add_subcommand("checkpoint", "write, check and read one"), action);
}

}  // namespace dino::app
