// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "app/command.hpp"
#include "app/feature_source.hpp"
#include "data/open_shards.hpp"
#include "eval/knn_protocol.hpp"

namespace dino::app {
namespace {

struct KnnOptions {
  FeatureSourceOptions source;
  std::string train, test;
  std::vector<std::int64_t> ks{10, 20, 100, 200};
  double temperature = 0.07;
};

ExitCode evaluate_knn(Communicator const& world, KnnOptions const& options) {
  auto const train = open_shards(world, options.train);
  auto const test = open_shards(world, options.test);
  require_same_classes(train, test);
  FeatureSource source(world, options.source);
  auto train_features = source.extract(train);
  auto test_features = source.extract(test);
  auto const results = knn_accuracy(world, std::move(train_features), std::move(test_features),
                                    options.ks, options.temperature);
  if (world.rank() != 0) return ExitCode::finished;
  fmt::print("{} training and {} test images, {} classes\n", train.size(), test.size(),
             train.class_names().size());
  for (auto const& result : results)
    fmt::print("{:>4}-NN  top-1 {:6.2f} %  top-5 {:6.2f} %\n", result.k, result.top1, result.top5);
  return ExitCode::finished;
}

void declare_knn(CLI::App& command, Action& action) {
  auto const options = std::make_shared<KnnOptions>();
  command.add_option("checkpoint", options->source.checkpoint, "checkpoint, e.g. run/latest.h5");
  command.add_option("--train", options->train, "labelled shards that vote")->required();
  command.add_option("--test", options->test, "labelled shards that are classified")->required();
  command.add_option("--k", options->ks, "numbers of neighbours")
      ->delimiter(',')
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--temperature", options->temperature, "temperature of the votes")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  options->source.declare(command);
  command.callback([options, &action] {
    action = [options](Communicator const& world) { return evaluate_knn(world, *options); };
  });
}

}  // namespace

void declare_eval(CLI::App& command, Action& action) {
  command.require_subcommand(1);
  declare_knn(*command.add_subcommand("knn", "weighted k-nearest neighbours (DINO's protocol)"),
              action);
}

}  // namespace dino::app
