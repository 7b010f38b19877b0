// SPDX-License-Identifier: Apache-2.0
// golden_check [--all] FILE...: compares this program with golden files, one PASS or FAIL line a
// file.
#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "comm/communicator.hpp"
#include "golden/report.hpp"

namespace {

using dino::golden::Check;

/// Kinds of files; those of no row are skipped by name.
std::map<std::string_view, Check> const kinds{
    {"augment", dino::golden::check_augment},   {"backbone", dino::golden::check_backbone},
    {"eval", dino::golden::check_eval},         {"head", dino::golden::check_head},
    {"loss", dino::golden::check_loss},         {"masking", dino::golden::check_masking},
    {"rope", dino::golden::check_rope},         {"rrc", dino::golden::check_rrc},
    {"schedule", dino::golden::check_schedule}, {"step", dino::golden::check_step},
};

bool check_file(std::string const& path, bool all) {
  try {
    dino::golden::GoldenFile const file(path);
    dino::golden::Report report(file);
    auto const row = kinds.find(file.kind);
    if (row == kinds.end()) {
      report.skip("", "kind " + file.kind + " is not implemented");
    } else {
      row->second(file, report);
    }
    return report.print(path, all);
  } catch (std::exception const& error) {
    fmt::print("FAIL {} {}\n", path, error.what());
    return false;
  }
}

}  // namespace

int main(int argc, char** argv) {
  dino::MpiSession const session(&argc, &argv);
  CLI::App app{"Compares this program with golden files of the format dino-golden/1"};
  std::vector<std::string> files;
  bool all = false;
  app.add_option("FILE", files, "golden files")->required();
  app.add_flag("--all", all, "one line per array, worst first");
  CLI11_PARSE(app, argc, argv);
  bool passed = true;
  for (auto const& path : files) passed = check_file(path, all) && passed;
  return passed ? 0 : 1;
}
