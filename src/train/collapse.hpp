// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "train/training_step.hpp"

namespace dino::train {

/// Looks for the signs of collapse in the results of the steps. Source: DINO, arXiv:2104.14294,
/// sec. 5.3 (either to one prototype or to the uniform distribution); method.md 8.1.
class CollapseMonitor {
 public:
  /// \param prototypes  K of the class tokens' head
  explicit CollapseMonitor(std::int64_t prototypes);
  /// A warning in words when a sign has held for `patience` steps in a row; once for each sign.
  std::optional<std::string> look(StepResult const& result);
  static constexpr int patience = 100;

 private:
  struct Sign {
    int held = 0;
    bool told = false;
    /// True once, when the sign has held long enough.
    bool ripe(bool now);
  };
  double log_prototypes_;
  Sign uniform_, one_hot_, narrow_;
};

}  // namespace dino::train
