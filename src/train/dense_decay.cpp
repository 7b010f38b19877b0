// SPDX-License-Identifier: Apache-2.0
#include "train/dense_decay.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/error.hpp"
#include "io/checkpoint.hpp"
#include "io/metrics.hpp"

namespace dino::train {
namespace {

constexpr char const* probe = "dense_probe_mean_iou";

/// The k-NN figure of the fewest neighbours, as it is named first.
std::optional<double> knn_of(EvaluationRow const& row) {
  for (auto const& [name, value] : row)
    if (name.starts_with("knn_top1_") && !std::isnan(value)) return value;
  return std::nullopt;
}

std::optional<double> known(EvaluationRow const& row, std::string const& name) {
  auto const it = row.find(name);
  if (it == row.end() || std::isnan(it->second)) return std::nullopt;
  return it->second;
}

}  // namespace

std::optional<double> dense_quality(EvaluationRow const& row) {
  if (auto const iou = known(row, probe)) return iou;
  if (auto const cosine = known(row, "dense_patch_to_class")) return 100 * (1 - *cosine);
  return std::nullopt;
}

std::optional<std::string> DenseDecay::look(std::int64_t step, EvaluationRow const& row) {
  if (auto const knn = knn_of(row)) knn_ = knn;
  auto const dense = dense_quality(row);
  if (!dense || !knn_) return std::nullopt;
  if (!best_ || *dense >= best_->dense) {
    best_ = Best{.step = step, .dense = *dense, .knn = *knn_};
    fallen_ = 0;
    return std::nullopt;
  }
  bool const lost = *dense<(1 - decay_) * best_->dense&& * knn_> best_->knn;
  fallen_ = lost ? fallen_ + 1 : 0;
  if (fallen_ < 2 || best_->told) return std::nullopt;
  best_->told = true;
  return fmt::format(
      "dense features decay while global ones improve: since step {} {} fell from {:.2f} to "
      "{:.2f}, "
      "k-NN rose from {:.2f} to {:.2f} %. Gram anchoring holds them: start a stage with "
      "gram.use_loss=true and gram.ckpt=this run's directory",
      best_->step, row.contains(probe) ? "the mask probe" : "100 (1 - patch-to-class cosine)",
      best_->dense, *dense, best_->knn, *knn_);
}

std::optional<std::int64_t> pick_gram_teacher(
    std::map<std::string, std::vector<double>> const& evaluations,
    std::vector<std::int64_t> const& kept) {
  std::vector<std::int64_t> steps(kept);
  std::erase(steps, 0);
  if (steps.empty()) return std::nullopt;
  std::sort(steps.begin(), steps.end());
  std::optional<std::int64_t> best;
  double highest = 0;
  if (auto const column = evaluations.find(probe); column != evaluations.end()) {
    auto const& at = evaluations.at("step");
    for (std::size_t i = 0; i < std::min(at.size(), column->second.size()); ++i) {
      auto const step = static_cast<std::int64_t>(at[i]);
      bool const there = std::binary_search(steps.begin(), steps.end(), step);
      if (!there || std::isnan(column->second[i]) || (best && column->second[i] <= highest))
        continue;
      best = step;
      highest = column->second[i];
    }
  }
  if (best) return best;
  auto const after = std::upper_bound(steps.begin(), steps.end(), steps.back() / 5);
  return after == steps.begin() ? steps.front() : *(after - 1);
}

std::string pick_gram_teacher(std::string const& run_dir) {
  auto const metrics = run_dir + "/metrics.h5";
  std::map<std::string, std::vector<double>> evaluations;
  if (std::filesystem::exists(metrics)) evaluations = io::read_metrics(metrics, "evaluations");
  auto const step = pick_gram_teacher(evaluations, io::list_checkpoints(run_dir));
  require(
      step.has_value(), ExitCode::input,
      "the folder '{}' has no checkpoint after step 0 that could be a Gram teacher. Give one in "
      "gram.ckpt",
      run_dir);
  return io::checkpoint_path(run_dir, *step);
}

}  // namespace dino::train
