// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "eval/dense_statistics.hpp"
#include "eval/patch_probe.hpp"

namespace dino::train {

/// Measures the teacher's patch features on a fixed list of images every monitor.dense_every steps:
/// similarities, the distance of the Gram matrices to those of an early step, and the mask probe.
template <class T>
class DenseMonitor {
 public:
  /// Opens the shards. Collective. \throws Error (input, usage)
  DenseMonitor(Space const& space, Communicator const& world, Config const& config);

  /// What metrics.h5 gets, alike on all ranks. Keeps the early step's Gram matrices in
  /// `dense_snapshot.h5` of the run directory the first time it has any. Collective.
  std::map<std::string, double> look(Vit<T>& teacher, std::int64_t step);

 private:
  void find_snapshot(std::vector<PatchFeatures> const& features, std::int64_t step);
  std::int64_t count() const { return static_cast<std::int64_t>(images_.size()); }

  Space space_;
  Communicator world_;
  config::Monitor monitor_;
  std::string run_dir_;
  double knn_temperature_;
  FeatureOptions options_;
  io::ShardSet shards_;
  std::vector<std::int64_t> images_;
  std::string images_text_;  ///< what tells these images from others
  std::vector<PatchLabels> labels_;
  std::optional<GramSnapshot> snapshot_;
};

/// How images are made for evaluation in a run.
FeatureOptions evaluation_options(Config const& config);

}  // namespace dino::train
