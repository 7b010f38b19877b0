// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace dino::io {

/// metrics.h5 of a run: one extendible dataset per name under /steps and /evaluations, all of one
/// length per group, readable with h5py while the run goes on (SWMR). Written by one rank.
/// Layout: io/FORMATS.md, "Metrics".
class MetricsWriter {
 public:
  /// Opens or makes the file. Rows whose step is >= `first_step` are cut off: a resumed run writes
  /// them again. The rows go into a new file that then takes the name, so it does not matter how
  /// the last writer ended; a file that cannot be read is kept aside under another name, with a
  /// warning.
  /// \throws Error (input) where the folder cannot be written
  MetricsWriter(std::string const& path, std::int64_t first_step);
  MetricsWriter(MetricsWriter&&) noexcept;
  ~MetricsWriter();
  /// Appends a row to /steps; what it does not name is NaN. Names not seen before become columns
  /// (NaN in earlier rows) in a new file under the same name. Reaches the file within about 0.5 s
  /// while rows keep coming.
  void append_step(std::int64_t step, std::map<std::string, double> const& values);
  /// Appends a row to /evaluations, e.g. {"knn_top1_k20", 71.2}, and flushes.
  void append_evaluation(std::int64_t step, std::map<std::string, double> const& values);
  /// Brings all rows to the file. Where the disk is full they wait in memory, with one warning.
  void flush();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// All rows of one group ("steps" or "evaluations") by column name, "step" included; works under
/// SWMR, and where a writer was killed. \throws Error (input)
std::map<std::string, std::vector<double>> read_metrics(std::string const& path,
                                                        std::string const& group);

}  // namespace dino::io
