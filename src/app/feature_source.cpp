// SPDX-License-Identifier: Apache-2.0
#include "app/feature_source.hpp"

#include <CLI/CLI.hpp>
#include <functional>

#include "eval/raw_pixels.hpp"
#include "train/device.hpp"
#include "train/frozen.hpp"

namespace dino::app {

struct FeatureSource::Model {
  std::function<LabelledFeatures(io::ShardSet const&)> extract;
};

void FeatureSourceOptions::declare(CLI::App& command) {
  command
      .add_option("--features", kind, "model: a checkpoint's backbone; raw: the pixels themselves")
      ->check(CLI::IsMember({"model", "raw"}));
  command.add_option("--model", model, "which model of the checkpoint")
      ->check(CLI::IsMember({"teacher", "student"}))
      ->capture_default_str();
  command.add_option("--precision", precision, "compute precision")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  command.add_option("--device", device, "where the model runs")
      ->check(CLI::IsMember({"auto", "host", "cuda"}))
      ->capture_default_str();
  command.add_option("--resize", resize_size, "shorter side after the resize, pixels")
      ->check(CLI::PositiveNumber);
  command.add_option("--crop", crop_size, "side of the centre crop, pixels")
      ->check(CLI::PositiveNumber);
  command.add_option("--batch", batch_size, "images per rank and forward pass")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--workers", workers, "decoding threads per rank")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
}

namespace {

FeatureOptions feature_options(FeatureSourceOptions const& options, Config const& config) {
  return {.transform = {.resize_size = options.resize_size.value_or(config.eval.resize_size),
                        .crop_size = options.crop_size.value_or(config.eval.crop_size),
                        .mean = config.crops.mean,
                        .std = config.crops.std},
          .batch_size = options.batch_size,
          .workers = options.workers};
}

template <class T>
auto model_extractor(Communicator const& world, FeatureSourceOptions const& options) {
  Space const space = train::make_space(world, options.device);
  std::shared_ptr<train::FrozenBackbone<T>> const frozen =
      train::FrozenBackbone<T>::load(space, world, options.checkpoint, options.model);
  return [=](io::ShardSet const& shards) {
    return extract_features(space, world, *frozen->backbone, shards,
                            feature_options(options, frozen->config));
  };
}

}  // namespace

FeatureSource::FeatureSource(Communicator const& world, FeatureSourceOptions options)
    : world_(world), options_(std::move(options)), model_(std::make_unique<Model>()) {
  require(options_.kind == "raw" || !options_.checkpoint.empty(), ExitCode::usage,
          "no checkpoint is given. Name one, or take the pixels themselves with --features raw");
  if (options_.kind == "raw") {
    model_->extract = [this](io::ShardSet const& shards) {
      Config const defaults;
      return raw_pixel_features(world_, shards, feature_options(options_, defaults).transform,
                                options_.workers);
    };
  } else if (options_.precision == "bf16") {
    model_->extract = model_extractor<bfloat16>(world_, options_);
  } else {
    model_->extract = model_extractor<float>(world_, options_);
  }
}

FeatureSource::~FeatureSource() = default;

LabelledFeatures FeatureSource::extract(io::ShardSet const& shards) {
  return model_->extract(shards);
}

}  // namespace dino::app
