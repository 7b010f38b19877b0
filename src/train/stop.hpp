// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

namespace dino::train {

/// Why this rank wants the run to stop at the next step boundary: a signal (TERM, INT, USR1, USR2),
/// the end of its time, or a file named STOP in the run directory. Ranks agree through
/// StepResult::stop.
class StopWatcher {
 public:
  /// Installs the signal handlers; the former ones come back with the destructor.
  /// \param run_dir      where a file named STOP is looked for; empty: nowhere (all ranks but one)
  /// \param time_budget  seconds from the start of the process's clock here; also
  /// SLURM_JOB_END_TIME counts
  StopWatcher(std::filesystem::path const& run_dir, std::optional<double> time_budget);
  StopWatcher(StopWatcher const&) = delete;
  StopWatcher& operator=(StopWatcher const&) = delete;
  ~StopWatcher();

  /// The reason in words, or nothing. \param reserve_seconds  needed after this step: a step and a
  /// save
  std::optional<std::string> reason(double reserve_seconds);
  /// Seconds since construction.
  double elapsed() const;

 private:
  std::filesystem::path stop_file_;
  std::chrono::steady_clock::time_point begin_;
  std::optional<std::chrono::steady_clock::time_point> deadline_;
  std::chrono::steady_clock::time_point last_look_;
};

}  // namespace dino::train
