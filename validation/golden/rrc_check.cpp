// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "base/philox.hpp"
#include "data/views.hpp"
#include "golden/report.hpp"

namespace dino::golden {
namespace {

constexpr double standard_errors = 5;  // README: "5 standard errors of the two samples combined"

/// Crop boxes of one set of parameters, as statistics see them.
struct Sample {
  std::vector<double> area, log_aspect, center_x, center_y, height, width, fallback, touches_left,
      touches_top;
};

struct Parameters {
  Extents image;
  std::array<double, 2> scale, ratio;
  std::int64_t draws;
};

std::array<double, 2> two(GoldenFile const& file, std::string const& path) {
  auto const values = file.at(path).numbers();
  require(values.size() == 2, ExitCode::input, "{} has {} entries, not 2", path, values.size());
  return {values[0], values[1]};
}

int integer(GoldenFile const& file, std::string const& path) {
  return static_cast<int>(std::lround(file.at(path).numbers().at(0)));
}

Sample draw(Parameters const& p, std::uint64_t stream) {
  Philox random(0, Purpose::test, stream);
  Sample sample;
  for (std::int64_t i = 0; i < p.draws; ++i) {
    auto const drawn = try_random_crop(random, p.image, p.scale, p.ratio);
    CropBox const box = drawn ? *drawn : fallback_box(p.image, p.ratio);
    double const height = box.height;
    double const width = box.width;
    sample.area.push_back(height * width / p.image.height / p.image.width);
    sample.log_aspect.push_back(std::log(width / height));
    sample.center_x.push_back((box.left + width / 2) / p.image.width);
    sample.center_y.push_back((box.top + height / 2) / p.image.height);
    sample.height.push_back(height);
    sample.width.push_back(width);
    sample.fallback.push_back(drawn ? 0 : 1);
    sample.touches_left.push_back(box.left == 0 ? 1 : 0);
    sample.touches_top.push_back(box.top == 0 ? 1 : 0);
  }
  return sample;
}

/// Mean of (x - about)^power.
double moment(std::vector<double> const& x, double about, int power) {
  double sum = 0;
  for (double const value : x) sum += std::pow(value - about, power);
  return sum / static_cast<double>(x.size());
}

/// |a - b| in units of a standard error, where equality needs none.
double in_errors(double a, double b, double error) {
  return a == b ? 0 : std::abs(a - b) / std::max(error, 1e-300);
}

/// Two frequencies observed in n draws each; the probability is pooled over both.
double frequency_errors(double expected, double actual, double n) {
  double const p = (expected + actual) / 2;
  return in_errors(expected, actual, std::sqrt(p * (1 - p) * 2 / n));
}

/// Compares the statistics of one set with its expected arrays.
class SetCheck {
 public:
  SetCheck(GoldenFile const& file, Report& report, std::string name, double draws)
      : file_(file), report_(report), name_(std::move(name)), n_(draws) {}

  void mean(std::string const& key, std::vector<double> const& x) const {
    double const actual = moment(x, 0, 1);
    add(key, in_errors(expected(key).at(0), actual, std::sqrt(moment(x, actual, 2) * 2 / n_)));
  }
  void deviation(std::string const& key, std::vector<double> const& x) const {
    double const center = moment(x, 0, 1);
    double const variance = moment(x, center, 2);
    double const spread = moment(x, center, 4) - variance * variance;
    double const error = std::sqrt(spread / std::max(4 * variance, 1e-300) * 2 / n_);
    add(key, in_errors(expected(key).at(0), std::sqrt(variance), error));
  }
  void rate(std::string const& key, std::vector<double> const& x) const {
    add(key, frequency_errors(expected(key).at(0), moment(x, 0, 1), n_));
  }
  /// Shares of the draws between edges; the last bin holds its upper edge too.
  void histogram(std::string const& key, std::vector<double> const& x,
                 std::string const& edges_key) const {
    auto const edges = file_.at("inputs/" + name_ + "/" + edges_key).numbers();
    auto const shares = expected(key);
    require(edges.size() == shares.size() + 1 && !shares.empty(), ExitCode::input,
            "{}: {} has {} edges for {} bins", name_, edges_key, edges.size(), shares.size());
    std::vector<double> counts(shares.size());
    for (double const value : x) {
      if (value < edges.front() || value > edges.back()) continue;
      auto const bin = std::upper_bound(edges.begin(), edges.end(), value) - edges.begin() - 1;
      counts[std::min(static_cast<std::size_t>(bin), counts.size() - 1)] += 1;
    }
    double worst = 0;
    for (std::size_t i = 0; i < shares.size(); ++i) {
      worst = std::max(worst, frequency_errors(shares[i], counts[i] / n_, n_));
    }
    add(key, worst);
  }
  /// The 5 %, 10 %, … quantiles: how far the share of draws below each lies from the nominal one.
  void quantiles(std::string const& key, std::vector<double> x) const {
    std::sort(x.begin(), x.end());
    auto const values = expected(key);
    // Many boxes have equal areas and ratios; which of them equal a quantile must not hang on its
    // last bits.
    constexpr double same = 1e-9;
    auto const share_before = [&](auto place) {
      return static_cast<double>(place - x.begin()) / n_;
    };
    double worst = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      double const q = static_cast<double>(i + 1) / static_cast<double>(values.size() + 1);
      double const below = share_before(std::lower_bound(x.begin(), x.end(), values[i] - same));
      double const up_to = share_before(std::upper_bound(x.begin(), x.end(), values[i] + same));
      worst =
          std::max(worst, std::max({below - q, q - up_to, 0.0}) / std::sqrt(q * (1 - q) * 2 / n_));
    }
    add(key, worst);
  }

 private:
  std::vector<double> expected(std::string const& key) const {
    return file_.at("expected/" + name_ + "/" + key).numbers();
  }
  void add(std::string const& key, double errors) const {
    report_.add(name_ + "/" + key, errors, standard_errors);
  }

  GoldenFile const& file_;
  Report& report_;
  std::string name_;
  double n_;
};

void check_set(GoldenFile const& file, Report& report, std::string const& name,
               std::uint64_t stream) {
  std::string const in = "inputs/" + name + "/";
  Parameters const p{.image = {integer(file, in + "height"), integer(file, in + "width")},
                     .scale = two(file, in + "scale"),
                     .ratio = two(file, in + "ratio"),
                     .draws = integer(file, in + "n_draws")};
  require(p.draws >= 1 && p.image.height >= 1 && p.image.width >= 1, ExitCode::input,
          "{} draws nothing", name);
  Sample const sample = draw(p, stream);
  SetCheck const check(file, report, name, static_cast<double>(p.draws));
  check.histogram("area_fraction", sample.area, "area_bin_edges");
  check.histogram("log_aspect", sample.log_aspect, "log_aspect_bin_edges");
  check.histogram("center_x", sample.center_x, "center_bin_edges");
  check.histogram("center_y", sample.center_y, "center_bin_edges");
  check.quantiles("area_quantiles", sample.area);
  check.quantiles("log_aspect_quantiles", sample.log_aspect);
  check.rate("fallback_rate", sample.fallback);
  check.rate("touches_left_rate", sample.touches_left);
  check.rate("touches_top_rate", sample.touches_top);
  check.mean("mean_area_fraction", sample.area);
  check.deviation("std_area_fraction", sample.area);
  check.mean("mean_log_aspect", sample.log_aspect);
  check.deviation("std_log_aspect", sample.log_aspect);
  check.mean("mean_height", sample.height);
  check.mean("mean_width", sample.width);
}

void check_fallback(GoldenFile const& file, Report& report, std::string const& name) {
  std::string const in = "inputs/" + name + "/";
  CropBox const box = fallback_box({integer(file, in + "height"), integer(file, in + "width")},
                                   two(file, in + "ratio"));
  std::vector<std::int64_t> const actual{box.top, box.left, box.height, box.width};
  report.compare(name + "/top_left_height_width", actual);
}

}  // namespace

void check_rrc(GoldenFile const& file, Report& report) {
  std::uint64_t stream = 0;
  for (auto const& name : file.children("inputs")) {
    if (name.rfind("set_", 0) == 0) {
      check_set(file, report, name, stream++);
    } else if (name.rfind("fallback_", 0) == 0) {
      check_fallback(file, report, name);
    } else {
      report.skip(name, "what it tests is not known");
    }
  }
}

}  // namespace dino::golden
