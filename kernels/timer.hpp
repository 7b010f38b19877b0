// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <vector>

#include "kernels/space.hpp"

namespace dino {

/// Moments in the work of a space, in the order of what is run, taken without waiting for it.
class Timer {
 public:
  virtual ~Timer() = default;
  /// A moment: everything that was run before is done, nothing that is run later has begun.
  virtual void mark() = 0;
  /// Seconds from each moment to the next, after waiting for the last one. All are forgotten.
  virtual std::vector<double> take() = 0;
};

/// By the host's clock, or by events on the stream of a device (which tell half microseconds).
std::unique_ptr<Timer> make_timer(Space const& space);

std::unique_ptr<Timer> timer_on(Host const& host);
std::unique_ptr<Timer> timer_on(Dry const& dry);
std::unique_ptr<Timer> timer_on(Cuda const& cuda);

}  // namespace dino
