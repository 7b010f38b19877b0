// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <set>
#include <span>
#include <string>
#include <vector>

#include "golden/golden_file.hpp"

namespace dino::golden {

/// max |a - e| / max |e| (NaN equals NaN); infinite for other lengths, or where only one is finite.
double deviation(std::span<double const> actual, std::vector<double> const& expected);

/// Collects the comparisons of one file. An expected array that is neither compared nor skipped is
/// a failure.
class Report {
 public:
  explicit Report(GoldenFile const& file) : file_(file) {}

  /// Compares with expected/<name>: max |a - e| / max |e| against max(suggested / 10, 20 fp32_dev),
  /// the bound of the format's description; integers and texts exactly.
  void compare(std::string const& name, std::span<float const> actual, double suggested);
  void compare(std::string const& name, std::span<double const> actual, double suggested);
  void compare(std::string const& name, std::span<std::int64_t const> actual);
  void compare(std::string const& name, std::vector<std::string> const& actual);
  /// A figure that was worked out elsewhere, with its bound.
  void add(std::string const& name, double error, double bound);
  /// Marks expected/<name> as dealt with (its figure comes through `add`).
  void cover(std::string const& name) { covered_.insert(name); }
  /// A part that this program does not have yet: expected/<name>, or all below it.
  void skip(std::string const& name, std::string const& why);

  /// Prints the line of the file (and one per skipped part); returns whether nothing failed.
  bool print(std::string const& path, bool all) const;

 private:
  struct Row {
    std::string name;
    double error, bound;
    double ratio() const { return bound > 0 ? error / bound : error > 0 ? 1e300 : 0; }
  };
  std::vector<Row> finished_rows() const;
  GoldenFile const& file_;
  std::vector<Row> rows_;
  std::set<std::string> covered_;
  std::vector<std::pair<std::string, std::string>> skipped_;
};

/// One check per kind of file; names what it cannot do through Report::skip.
using Check = void (*)(GoldenFile const&, Report&);

void check_augment(GoldenFile const& file, Report& report);
void check_backbone(GoldenFile const& file, Report& report);
void check_eval(GoldenFile const& file, Report& report);
void check_head(GoldenFile const& file, Report& report);
void check_loss(GoldenFile const& file, Report& report);
/// The check of one loss of DINOv2 or DINOv3 (/config/loss); null: there is none.
Check loss_check(std::string const& loss);
void check_gram(GoldenFile const& file, Report& report);
void check_gram_resize(GoldenFile const& file, Report& report);
void check_masking(GoldenFile const& file, Report& report);
void check_rope(GoldenFile const& file, Report& report);
void check_rrc(GoldenFile const& file, Report& report);
void check_step(GoldenFile const& file, Report& report);
void check_resnet(GoldenFile const& file, Report& report);
void check_schedule(GoldenFile const& file, Report& report);

}  // namespace dino::golden
