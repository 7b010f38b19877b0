// SPDX-License-Identifier: Apache-2.0
#include "eval/features.hpp"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "app/command.hpp"
#include "app/feature_source.hpp"
#include "base/log.hpp"
#include "data/open_shards.hpp"
#include "io/checkpoint.hpp"

namespace dino::app {
namespace {

struct FeaturesOptions {
  FeatureSourceOptions source;
  std::string shards, out;
};

ExitCode write_features(Communicator const& world, FeaturesOptions const& options) {
  auto const shards = open_shards(world, options.shards);
  FeatureSource source(world, options.source);
  auto const mine = source.extract(shards);
  auto const first = share_of(shards.size(), world.rank(), world.size()).begin;
  std::vector<float> const labels(mine.labels.begin(), mine.labels.end());
  std::vector<io::CheckpointPart> const parts{
      {.name = "features",
       .shape = {shards.size(), mine.dim},
       .offset = first * mine.dim,
       .values = mine.features},
      {.name = "labels", .shape = {shards.size()}, .offset = first, .values = labels}};
  io::write_checkpoint(world, options.out, parts,
                       {.integers = {},
                        .reals = {},
                        .texts = {{"kind", "features"},
                                  {"checkpoint", options.source.checkpoint},
                                  {"shards", options.shards}}});
  if (world.rank() == 0)
    log::info("{} features of width {} in '{}'", shards.size(), mine.dim, options.out);
  return ExitCode::finished;
}

}  // namespace

void declare_features(CLI::App& command, Action& action) {
  auto const options = std::make_shared<FeaturesOptions>();
  command.add_option("checkpoint", options->source.checkpoint, "checkpoint, e.g. run/latest.h5");
  command.add_option("--shards", options->shards, "shard set")->required();
  command.add_option("-o,--out", options->out, "HDF5 file to write")->required();
  options->source.declare(command);
  command.callback([options, &action] {
    action = [options](Communicator const& world) { return write_features(world, *options); };
  });
}

}  // namespace dino::app
