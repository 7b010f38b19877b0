// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "eval/knn_protocol.hpp"
#include "eval/neighbours.hpp"
#include "golden/report.hpp"

namespace dino::golden {
namespace {

constexpr double percent_bound = 1e-11;  // accuracies are exact: only the division rounds
constexpr double score_bound = 1e-5;

LabelledFeatures features(GoldenFile const& file, std::string const& part) {
  auto const& array = file.at("inputs/knn/" + part + "_features");
  LabelledFeatures out{.dim = array.shape.at(1),
                       .features = array.floats(),
                       .labels = file.at("inputs/knn/" + part + "_labels").integers()};
  normalize_rows(out.features, out.dim);
  return out;
}

/// Accuracies of v1's votes; v2's weights differ by a factor, so its accuracies are the same.
void check_accuracies(GoldenFile const& file, Report& report, std::vector<std::int64_t> const& ks,
                      double temperature) {
  auto const results = knn_classify(Communicator::self(), features(file, "train"),
                                    features(file, "test"), ks,
                                    file.at("inputs/knn/num_classes").integers().at(0), temperature);
  std::vector<double> top1, top5;
  for (auto const& result : results) {
    top1.push_back(result.top1);
    top5.push_back(result.top5);
  }
  for (std::string const version : {"v1", "v2"}) {
    if (!file.has("expected/knn/" + version + "/top1")) continue;
    report.compare("knn/" + version + "/top1", std::span<double const>(top1), percent_bound);
    report.compare("knn/" + version + "/top5", std::span<double const>(top5), percent_bound);
  }
}

/// v2's scores: softmax over the most neighbours asked for, of which the first k vote.
void check_scores(GoldenFile const& file, Report& report, std::vector<std::int64_t> const& ks,
                  double temperature) {
  auto const classes = static_cast<std::size_t>(file.at("inputs/knn/num_classes").integers().at(0));
  auto const neighbours =
      nearest_neighbours(Communicator::self(), features(file, "train"), features(file, "test"),
                         *std::max_element(ks.begin(), ks.end()));
  for (auto const k : ks) {
    auto const name = "knn/v2/class_scores_k" + std::to_string(k);
    if (!file.has("expected/" + name)) continue;
    std::vector<double> scores(static_cast<std::size_t>(neighbours.rows) * classes);
    for (std::int64_t row = 0; row < neighbours.rows; ++row) {
      auto weights = vote_weights(neighbours, row, temperature);
      auto const sum = std::accumulate(weights.begin(), weights.end(), 0.0);
      for (auto& weight : weights) weight /= sum;
      add_votes(neighbours, row, weights, k,
                std::span(scores).subspan(static_cast<std::size_t>(row) * classes, classes));
    }
    report.compare(name, std::span<double const>(scores), score_bound);
  }
}

}  // namespace

void check_eval(GoldenFile const& file, Report& report) {
  for (auto const& part : file.children("expected")) {
    if (part != "knn") report.skip(part, "evaluation '" + part + "' is not implemented");
  }
  if (!file.has("inputs/knn/k")) return;
  auto const& ks = file.at("inputs/knn/k").integers();
  auto const temperature = file.at("inputs/knn/temperature").numbers().at(0);
  check_accuracies(file, report, ks, temperature);
  check_scores(file, report, ks, temperature);
}

}  // namespace dino::golden
