// SPDX-License-Identifier: Apache-2.0
#include "golden/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace dino::golden {
namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();

}  // namespace

double deviation(std::span<double const> actual, std::vector<double> const& expected) {
  if (actual.size() != expected.size()) return infinite;
  double worst = 0;
  double scale = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (std::isnan(expected[i]) && std::isnan(actual[i])) continue;
    double const error = std::abs(actual[i] - expected[i]);
    if (!std::isfinite(error)) return infinite;
    worst = std::max(worst, error);
    scale = std::max(scale, std::abs(expected[i]));
  }
  return worst / (scale > 0 ? scale : 1.0);
}

void Report::compare(std::string const& name, std::span<float const> actual, double suggested) {
  std::vector<double> const wide(actual.begin(), actual.end());
  compare(name, std::span<double const>(wide), suggested);
}

void Report::compare(std::string const& name, std::span<double const> actual, double suggested) {
  auto const& expected = file_.at("expected/" + name);
  auto const bound = std::max(suggested / 10, 20 * expected.fp32_dev.value_or(0));
  add(name, deviation(actual, expected.numbers()), bound);
}

void Report::compare(std::string const& name, std::span<std::int64_t const> actual) {
  auto const& expected = file_.at("expected/" + name).integers();
  bool const same = std::equal(actual.begin(), actual.end(), expected.begin(), expected.end());
  add(name, same ? 0 : infinite, 0);
}

void Report::compare(std::string const& name, std::vector<std::string> const& actual) {
  add(name, file_.at("expected/" + name).texts() == actual ? 0 : infinite, 0);
}

void Report::add(std::string const& name, double error, double bound) {
  cover(name);
  rows_.push_back({name, std::isnan(error) ? infinite : error, bound});
}

void Report::skip(std::string const& name, std::string const& why) {
  skipped_.emplace_back(name, why);
}

std::vector<Report::Row> Report::finished_rows() const {
  auto rows = rows_;
  auto const skipped = [&](std::string const& name) {
    return std::any_of(skipped_.begin(), skipped_.end(), [&](auto const& s) {
      return s.first.empty() || name == s.first || name.rfind(s.first + "/", 0) == 0;
    });
  };
  for (auto const& [path, array] : file_.arrays) {
    if (path.rfind("expected/", 0) != 0) continue;
    auto const name = path.substr(9);
    if (covered_.count(name) == 0 && !skipped(name))
      rows.push_back({name + " (not computed)", infinite, 0});
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](Row const& a, Row const& b) { return a.ratio() > b.ratio(); });
  return rows;
}

bool Report::print(std::string const& path, bool all) const {
  auto const rows = finished_rows();
  bool const failed = !rows.empty() && rows.front().ratio() > 1;
  if (rows.empty()) {
    if (skipped_.empty()) fmt::print("FAIL {} nothing was compared\n", path);
  } else {
    auto const& worst = rows.front();
    fmt::print("{} {} {} arrays, worst {:.3g} (bound {:.3g}) {}\n", failed ? "FAIL" : "PASS", path,
               rows.size(), worst.error, worst.bound, worst.name);
  }
  for (auto const& [name, why] : skipped_)
    fmt::print("SKIP {} {}{}\n", path, name.empty() ? "" : name + ": ", why);
  for (auto const& row : all ? rows : std::vector<Row>{}) {
    fmt::print("  {} {:.3g} (bound {:.3g}) {}\n", row.ratio() > 1 ? "FAIL" : "ok  ", row.error,
               row.bound, row.name);
  }
  return !failed && !(rows.empty() && skipped_.empty());
}

}  // namespace dino::golden
