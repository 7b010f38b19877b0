// SPDX-License-Identifier: Apache-2.0
// Golden files of the kind masking: exact outputs of collation, statistics of random masks.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.hpp"
#include "data/masking.hpp"
#include "golden/report.hpp"

namespace dino::golden {
namespace {

constexpr double standard_errors = 5;  // README: "5 standard errors of the two samples combined"
constexpr double exact = 0;

/// |a - b| in units of a standard error, where equality needs none.
double in_errors(double a, double b, double error) {
  return a == b ? 0 : std::abs(a - b) / std::max(error, 1e-300);
}

/// Two frequencies observed in n draws each; the probability is pooled over both.
double frequency_errors(double expected, double actual, double n) {
  double const p = (expected + actual) / 2;
  return in_errors(expected, actual, std::sqrt(p * (1 - p) * 2 / n));
}

/// One case below /inputs and /expected.
class Case {
 public:
  Case(GoldenFile const& file, Report& report, std::string name)
      : file_(file), report_(report), name_(std::move(name)) {}

  std::string const& name() const { return name_; }
  double number(std::string const& key) const { return input(key).numbers().at(0); }
  int integer(std::string const& key) const { return static_cast<int>(std::lround(number(key))); }
  Array const& input(std::string const& key) const {
    return file_.at("inputs/" + name_ + "/" + key);
  }
  bool has(std::string const& key) const { return file_.has("inputs/" + name_ + "/" + key); }
  std::vector<double> expected(std::string const& key) const {
    return file_.at("expected/" + name_ + "/" + key).numbers();
  }
  void same(std::string const& key, std::vector<std::int64_t> const& actual) const {
    report_.compare(name_ + "/" + key, actual);
  }
  void add(std::string const& key, double error, double bound = standard_errors) const {
    report_.add(name_ + "/" + key, error, bound);
  }

  void frequencies(std::string const& key, std::vector<double> const& actual, double n) const {
    auto const wanted = expected(key);
    double worst = wanted.size() == actual.size() ? 0 : INFINITY;
    // Some tables hold counts, some shares of the draws.
    double const total = std::accumulate(wanted.begin(), wanted.end(), 0.0);
    double const unit = key == "count_histogram" && total > 1.5 ? n : 1;
    for (std::size_t i = 0; i < std::min(wanted.size(), actual.size()); ++i)
      worst = std::max(worst, frequency_errors(wanted[i] / unit, actual[i], n));
    add(key, worst);
  }
  /// Mean and standard deviation: `mean_<what>`, `std_<what>`.
  void moments(std::string const& what, std::vector<double> const& x) const {
    double const n = static_cast<double>(x.size());
    double mean = 0, variance = 0, fourth = 0;
    for (double const v : x) mean += v;
    mean /= n;  // at the end, so that equal values have no spread at all
    for (double const v : x) variance += (v - mean) * (v - mean) / n;
    for (double const v : x) fourth += std::pow(v - mean, 4) / n;
    add("mean_" + what,
        in_errors(expected("mean_" + what).at(0), mean, std::sqrt(variance * 2 / n)));
    double const error =
        std::sqrt((fourth - variance * variance) / std::max(4 * variance, 1e-300) * 2 / n);
    add("std_" + what, in_errors(expected("std_" + what).at(0), std::sqrt(variance), error));
  }

 private:
  GoldenFile const& file_;
  Report& report_;
  std::string name_;
};

MaskSettings settings_of(Case const& c) {
  MaskSettings settings;
  settings.grid_h = c.integer("grid_h");
  settings.grid_w = c.integer("grid_w");
  if (c.has("min_num_patches")) settings.min_block = c.number("min_num_patches");
  if (c.has("max_num_patches")) settings.max_block = c.number("max_num_patches");
  if (c.has("min_aspect")) settings.min_aspect = c.number("min_aspect");
  if (c.has("mask_probability")) settings.sample_probability = c.number("mask_probability");
  if (c.has("mask_ratio")) {
    auto const ratio = c.input("mask_ratio").numbers();
    settings.ratio = {ratio.at(0), ratio.at(1)};
  }
  settings.validate();
  return settings;
}

MaskCompletion completion_of(std::string const& method) {
  return method == "v3" ? MaskCompletion::exact : MaskCompletion::none;
}

/// Patches asked for in each crop; those without a mask come last.
std::vector<std::int64_t> requested(MaskLadder const& ladder, std::int64_t crops) {
  std::vector<std::int64_t> out(static_cast<std::size_t>(crops));
  for (std::int64_t i = 0; i < ladder.masked(); ++i)
    out[static_cast<std::size_t>(i)] = ladder.target(i, 0.5);
  return out;
}

void check_ladder(Case const& c, std::string const& method, std::int64_t crops) {
  auto settings = settings_of(c);
  settings.completion = completion_of(method);
  MaskLadder const ladder(settings, crops);
  c.same("n_samples_masked", {ladder.masked()});
  c.same(method + "/upperbound", {ladder.upper_bound(crops)});
  if (method == "v3") return c.same("v3/requested_counts", requested(ladder, crops));
  c.same("v2/requested_counts_at_mid_ratio", requested(ladder, crops));
  auto const bounds = c.expected("v2/ratio_bounds");
  bool same = static_cast<std::int64_t>(bounds.size()) == 2 * ladder.masked();
  for (std::size_t i = 0; same && i < bounds.size(); ++i) {
    auto const ratios = ladder.ratios(static_cast<std::int64_t>(i / 2));
    same = static_cast<double>(ratios.at(i % 2)) == bounds[i];
  }
  c.add("v2/ratio_bounds", same ? 0 : INFINITY, exact);
}

void check_collate(Case const& c) {
  for (std::string const method : {"v2", "v3"}) {
    auto const& array = c.input("masks_" + method);
    auto const flags = array.integers();
    check_ladder(c, method, array.shape.at(0));
    auto const out = collate({flags.begin(), flags.end()}, array.shape.at(1));
    c.same(method + "/mask_indices_list", out.indices);
    c.same(method + "/n_masked_patches", {static_cast<std::int64_t>(out.indices.size())});
    auto const weights = c.expected(method + "/masks_weight");
    bool const same = std::equal(
        weights.begin(), weights.end(), out.weights.begin(), out.weights.end(),
        [](double expected, float actual) { return expected == static_cast<double>(actual); });
    c.add(method + "/masks_weight", same ? 0 : INFINITY, exact);
  }
}

void check_stats(Case const& c, std::uint64_t stream) {
  auto settings = settings_of(c);
  settings.completion = completion_of(c.name().find("v3") == std::string::npos ? "v2" : "v3");
  auto const draws = c.integer("n_draws");
  auto const target = c.integer("requested");
  auto const share = 1.0 / draws;
  auto const lowest = c.expected("min_count").at(0), highest = c.expected("max_count").at(0);
  std::vector<std::uint8_t> mask(static_cast<std::size_t>(settings.patches()));
  std::vector<double> cells(mask.size()), histogram(static_cast<std::size_t>(target) + 1), counts;
  double below = 0, above = 0;
  Philox random(0, Purpose::test, stream);
  for (int i = 0; i < draws; ++i) {
    draw_mask(random, mask, settings, target);
    for (std::size_t k = 0; k < mask.size(); ++k) cells[k] += mask[k] * share;
    auto const count = std::count(mask.begin(), mask.end(), 1);
    histogram.at(static_cast<std::size_t>(count)) += share;
    counts.push_back(static_cast<double>(count));
    below += static_cast<double>(count) < lowest ? share : 0;
    above += static_cast<double>(count) > highest ? share : 0;
  }
  c.frequencies("cell_frequency", cells, draws);
  c.frequencies("count_histogram", histogram, draws);
  c.moments("count", counts);
  c.add("min_count", frequency_errors(0, below, draws));
  c.add("max_count", frequency_errors(0, above, draws));
}

void check_block(Case const& c, std::uint64_t stream) {
  auto const settings = settings_of(c);
  auto const draws = c.integer("n_draws");
  double const limit = c.number("max_mask_patches");
  auto const width = static_cast<std::size_t>(settings.grid_w) + 1;
  std::vector<double> joint((static_cast<std::size_t>(settings.grid_h) + 1) * width), area, aspect;
  double failures = 0;
  Philox random(1, Purpose::test, stream);
  for (int i = 0; i < draws; ++i) {
    std::vector<std::uint8_t> mask(static_cast<std::size_t>(settings.patches()));
    auto const block = add_block(random, mask, settings, limit);
    joint.at(static_cast<std::size_t>(block.height) * width +
             static_cast<std::size_t>(block.width)) += 1.0 / draws;
    failures += block.added == 0 ? 1.0 / draws : 0;
    if (block.added == 0) continue;
    area.push_back(block.height * block.width);
    aspect.push_back(std::log(static_cast<double>(block.height) / block.width));
  }
  c.frequencies("height_width_frequency", joint, draws);
  c.add("failure_rate", frequency_errors(c.expected("failure_rate").at(0), failures, draws));
  c.moments("area", area);
  c.moments("log_aspect", aspect);
}

void check_circular_shift(Case const& c) {
  auto const& array = c.input("mask");
  auto const flags = array.integers();
  std::vector<std::uint8_t> const mask(flags.begin(), flags.end());
  auto const shift = c.input("shift").integers();
  auto const out =
      circular_shift(mask, static_cast<int>(array.shape.at(0)), static_cast<int>(array.shape.at(1)),
                     static_cast<int>(shift.at(0)), static_cast<int>(shift.at(1)));
  c.same("mask", {out.begin(), out.end()});
}

}  // namespace

void check_masking(GoldenFile const& file, Report& report) {
  std::uint64_t stream = 0;
  for (auto const& name : file.children("inputs")) {
    Case const c(file, report, name);
    auto const starts = [&](std::string_view kind) { return name.rfind(kind, 0) == 0; };
    if (starts("collate")) {
      check_collate(c);
    } else if (starts("stats")) {
      check_stats(c, stream++);
    } else if (starts("block")) {
      check_block(c, stream++);
    } else if (starts("circular_shift")) {
      check_circular_shift(c);
    } else {
      report.skip(name, "what it tests is not known");
    }
  }
}

}  // namespace dino::golden
