// SPDX-License-Identifier: Apache-2.0
#include "eval/knn.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "eval/neighbours.hpp"

namespace dino {
namespace {

constexpr std::int64_t top_five = 5;

/// Labels in [0, classes) on all ranks. \throws Error (usage), alike on all ranks
void check_labels(Communicator const& comm, LabelledFeatures const& set, std::string_view name,
                  std::int64_t classes) {
  std::int64_t highest = 0;
  std::int64_t lowest = 0;
  for (auto const label : set.labels) {
    highest = std::max(highest, label);
    lowest = std::min(lowest, label);
  }
  highest = comm.max(highest);
  lowest = -comm.max(-lowest);
  auto const wrong = lowest < 0 ? lowest : highest;
  require(wrong >= 0 && wrong < classes, ExitCode::usage,
          "a label of the {} images is {} (must be in [0, {})): k-NN needs a label on every image",
          name, wrong, classes);
}

/// Place of a class by falling score, 0 the first; equal scores: the lower class first.
std::int64_t place_of(std::span<double const> scores, std::int64_t label) {
  auto const at = static_cast<std::size_t>(label);
  std::int64_t place = 0;
  for (std::size_t c = 0; c < scores.size(); ++c)
    place += scores[c] > scores[at] || (scores[c] == scores[at] && c < at) ? 1 : 0;
  return place;
}

}  // namespace

std::vector<KnnResult> knn_classify(Communicator const& comm, LabelledFeatures const& train,
                                    LabelledFeatures const& test, std::span<std::int64_t const> ks,
                                    std::int64_t classes, double temperature) {
  for (auto const k : ks)
    require(k >= 1, ExitCode::usage, "invalid number of neighbours {} (must be at least 1)", k);
  require(temperature > 0, ExitCode::usage, "invalid k-NN temperature {} (must be above 0)",
          temperature);
  require(classes >= 1, ExitCode::usage, "invalid number of classes {} (must be at least 1)",
          classes);
  check_labels(comm, train, "training", classes);
  check_labels(comm, test, "test", classes);
  if (ks.empty()) return {};
  auto const neighbours =
      nearest_neighbours(comm, train, test, *std::max_element(ks.begin(), ks.end()));
  std::vector<std::int64_t> hits(2 * ks.size(), 0);
  std::vector<double> scores(static_cast<std::size_t>(classes));
  for (std::int64_t row = 0; row < neighbours.rows; ++row) {
    auto const weights = vote_weights(neighbours, row, temperature);
    for (std::size_t i = 0; i < ks.size(); ++i) {
      std::fill(scores.begin(), scores.end(), 0.0);
      add_votes(neighbours, row, weights, ks[i], scores);
      auto const place = place_of(scores, test.labels[static_cast<std::size_t>(row)]);
      auto const k = std::min(ks[i], neighbours.k);
      hits[2 * i] += place < 1 ? 1 : 0;
      hits[2 * i + 1] += place < std::min(top_five, k) ? 1 : 0;
    }
  }
  comm.sum(std::span(hits));
  auto const tests = static_cast<double>(comm.sum(test.size()));
  std::vector<KnnResult> out;
  for (std::size_t i = 0; i < ks.size(); ++i)
    out.push_back({.k = std::min(ks[i], neighbours.k),
                   .top1 = 100.0 * static_cast<double>(hits[2 * i]) / tests,
                   .top5 = 100.0 * static_cast<double>(hits[2 * i + 1]) / tests});
  return out;
}

void normalize_rows(std::span<float> features, std::int64_t dim) {
  require(dim > 0 && static_cast<std::int64_t>(features.size()) % dim == 0, ExitCode::bug,
          "{} numbers are no rows of {}", features.size(), dim);
  for (std::size_t at = 0; at < features.size(); at += static_cast<std::size_t>(dim)) {
    auto const row = features.subspan(at, static_cast<std::size_t>(dim));
    double squares = 0;
    for (auto const x : row) squares += static_cast<double>(x) * static_cast<double>(x);
    if (squares == 0) continue;
    for (auto& x : row) x = static_cast<float>(static_cast<double>(x) / std::sqrt(squares));
  }
}

}  // namespace dino
