// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "train/dense_decay.hpp"
#include "train/dense_monitor.hpp"

namespace dino::train {

/// What a run measures of its teacher on the way: k-NN accuracy and patch features, each at its own
/// steps and after the last one.
template <class T>
class TeacherEvaluation {
 public:
  /// Collective. \throws Error (input, usage) where the patches' shards cannot be used
  TeacherEvaluation(Space const& space, Communicator const& world, Config const& config);

  /// Earlier rows of this run, as io::read_metrics gives them: dense features may have decayed
  /// since.
  void remember(std::map<std::string, std::vector<double>> const& evaluations);

  enum class Moment { before_training, step, last };
  /// Measures what is due, says it in the log, and returns a row for metrics.h5: empty where
  /// nothing is due. Before training patches are measured only. Collective, alike on all ranks.
  EvaluationRow measure(Backbone<T>& teacher, std::int64_t step, Moment moment);

 private:
  EvaluationRow knn(Backbone<T>& teacher, std::int64_t step) const;
  EvaluationRow dense_features(Backbone<T>& teacher, std::int64_t step);
  bool chief() const { return world_.rank() == 0; }

  Space space_;
  Communicator world_;
  Config config_;
  std::optional<DenseMonitor<T>> dense_;
  DenseDecay decay_;
};

}  // namespace dino::train
