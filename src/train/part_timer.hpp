// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <exception>
#include <memory>
#include <vector>

#include "kernels/timer.hpp"

namespace dino::train {

/// The parts of a step. What a pass waits for, such as the parameters of its next unit, is its own
/// time; `communication` is what is waited for after the last pass.
enum class Part {
  data,  ///< waiting for crops, and bringing them to the device
  teacher,
  student_forward,
  loss,
  backward,
  communication,
  optimizer,  ///< with EMA
  other
};
constexpr std::array part_names{"data",     "teacher",       "student_forward", "loss",
                                "backward", "communication", "optimizer",       "other"};

/// Which parts of a step took how long on this rank, in seconds.
class StepTimes {
 public:
  double& operator[](Part part) { return seconds_[static_cast<std::size_t>(part)]; }
  double operator[](Part part) const { return seconds_[static_cast<std::size_t>(part)]; }

 private:
  std::array<double, part_names.size()> seconds_{};
};

/// Divides the time of a step among its parts; parts within a part are counted for themselves. Does
/// nothing before `measure`.
class PartTimer {
 public:
  /// From the next step on.
  void measure(std::unique_ptr<Timer> timer);
  void begin_step();
  void enter(Part part);
  void leave();
  /// Of the step so far, which ends here: waits for its work.
  StepTimes end_step();

 private:
  /// The time since the mark before belongs to the part that runs now.
  void mark();

  std::unique_ptr<Timer> timer_;
  std::vector<Part> running_;  ///< the innermost at the end
  std::vector<Part> marked_;   ///< of the time before each mark but the first
};

/// What is run in its life belongs to a part.
class Stopwatch {
 public:
  Stopwatch(PartTimer& timer, Part part) : timer_(timer) { timer_.enter(part); }
  Stopwatch(Stopwatch const&) = delete;
  Stopwatch& operator=(Stopwatch const&) = delete;
  ~Stopwatch() {
    if (std::uncaught_exceptions() == unwinding_) timer_.leave();
  }

 private:
  PartTimer& timer_;
  int unwinding_ = std::uncaught_exceptions();  ///< a step that failed is not measured
};

}  // namespace dino::train
