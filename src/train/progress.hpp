// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>

namespace dino::train {

/// What one line of progress says.
struct ProgressLine {
  std::int64_t step = 0, steps = 0;
  double epoch = 0, loss = 0, lr = 0;
  double images_per_second = 0;
  double wait_share = 0;  ///< of the time, spent waiting for data, in [0, 1]
  double seconds_left = 0;
};

/// Shows progress on standard error: a bar where that is a terminal, else a line.
void show_progress(ProgressLine const& line);

/// Rates over the steps since the last line.
class RateMeter {
 public:
  void add(std::int64_t images, double seconds, double seconds_waited);
  double images_per_second() const;
  double wait_share() const;
  /// Seconds per step over the whole run so far, without the first step; nothing before the second.
  double seconds_per_step() const;
  void new_interval();

 private:
  double seconds_ = 0, waited_ = 0, total_seconds_ = 0;
  std::int64_t images_ = 0, total_steps_ = 0;
};

}  // namespace dino::train
