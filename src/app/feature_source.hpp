// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "eval/features.hpp"

namespace CLI {
class App;
}

namespace dino::app {

/// How images become features, on the command line. What is not said comes from the checkpoint.
struct FeatureSourceOptions {
  std::string kind = "model";  ///< model or raw
  std::string checkpoint;
  std::string model = "teacher";
  std::string precision = "fp32";
  std::string device = "auto";
  std::optional<std::int64_t> resize_size, crop_size;
  std::int64_t batch_size = 64, workers = 1;

  void declare(CLI::App& command);
};

/// Features of this rank's share of some shard sets, one after the other. Collective.
class FeatureSource {
 public:
  FeatureSource(Communicator const& world, FeatureSourceOptions options);
  FeatureSource(FeatureSource const&) = delete;
  FeatureSource& operator=(FeatureSource const&) = delete;
  ~FeatureSource();
  LabelledFeatures extract(io::ShardSet const& shards);

 private:
  struct Model;
  Communicator world_;
  FeatureSourceOptions options_;
  std::unique_ptr<Model> model_;
};

}  // namespace dino::app
