// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "app/command.hpp"
#include "data/demo_world.hpp"

namespace dino::app {
namespace {

ExitCode synth(Communicator const& world, DemoWorldOptions const& options) {
  auto const report = write_demo_world(world, options);
  if (world.rank() == 0) {
    fmt::print("{} pictures ({:.1f} MiB) in {} shards of {}, {} of them new\n", report.images,
               static_cast<double>(report.bytes) / 1048576.0, report.shards, options.out,
               report.written);
  }
  return ExitCode::finished;
}

}  // namespace

void declare_synth(CLI::App& command, Action& action) {
  auto const options = std::make_shared<DemoWorldOptions>();
  command.add_option("-o,--out", options->out, "folder; the shards go to OUT/train and OUT/test")
      ->required();
  command.add_option("--train", options->train_images, "training pictures")->capture_default_str();
  command.add_option("--test", options->test_images, "test pictures")->capture_default_str();
  command
      .add_option("--size", options->size, "sides, 32 to 1024 pixels; 0: each between 64 and 128")
      ->capture_default_str();
  command.add_option("--seed", options->seed, "another seed is another world")
      ->capture_default_str();
  command
      .add_option("--duplicates", options->duplicate_share,
                  "share of near-duplicates in each split, 0 to 0.5")
      ->capture_default_str();
  command.add_option("--shard-images", options->images_per_shard, "pictures of a shard")
      ->capture_default_str();
  command.callback([options, &action] {
    action = [options](Communicator const& world) { return synth(world, *options); };
  });
}

}  // namespace dino::app
