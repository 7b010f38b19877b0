// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace dino::train {

/// Values of one row of the evaluations in metrics.h5, by name.
using EvaluationRow = std::map<std::string, double>;

/// How good patch features are, larger is better: the mask probe's mean IoU where there is one,
/// else how little patches resemble the class token. Nothing where the row has no dense features.
std::optional<double> dense_quality(EvaluationRow const& row);

/// Looks for what long training does to DINO's features: those of whole images still improve while
/// those of patches get worse. Source: DINOv3, arXiv:2508.10104, sec. 4.1.
class DenseDecay {
 public:
  /// \param decay  share of the best dense quality that must be lost
  explicit DenseDecay(double decay) : decay_(decay) {}
  /// A warning in words where two measurements in a row have lost so much while k-NN stands higher
  /// than at the best of them; once for each best. k-NN counts as last measured.
  std::optional<std::string> look(std::int64_t step, EvaluationRow const& row);

 private:
  struct Best {
    std::int64_t step = 0;
    double dense = 0, knn = 0;
    bool told = false;
  };
  double decay_;
  std::optional<double> knn_;
  std::optional<Best> best_;
  int fallen_ = 0;  ///< measurements in a row
};

/// Which of a run's checkpoints becomes a Gram teacher. `evaluations` are the run's, as
/// io::read_metrics gives them; `kept` its checkpoints' steps. Where the mask probe was run: the
/// kept step after 0 of the highest mean IoU, of equals the first. Else, as dense features are best
/// early: the newest kept one up to a fifth of the newest step, or the oldest after 0. Nothing
/// where there is none after 0. Source: method.md 8.3 (200,000 of 1,000,000 steps).
std::optional<std::int64_t> pick_gram_teacher(
    std::map<std::string, std::vector<double>> const& evaluations,
    std::vector<std::int64_t> const& kept);

/// The same of a run directory. Rank 0 reads it; collective only through what the caller makes of
/// it. \throws Error (input) where there is no checkpoint after step 0
std::string pick_gram_teacher(std::string const& run_dir);

}  // namespace dino::train
