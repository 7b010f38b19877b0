// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

#include "comm/communicator.hpp"
#include "kernels/space.hpp"

namespace dino {

/// What the teacher did in one step, over the global batch.
struct TeacherStatistics {
  double entropy = 0;           ///< mean entropy of the targets, nats; ln K: uniform, 0: one-hot
  std::int64_t prototypes = 0;  ///< prototypes that were the largest of some target
};

/// Gathers the statistics of the targets of one step, in any number of parts.
class TargetStatistics {
 public:
  /// \param prototypes  K
  TargetStatistics(Space const& space, std::int64_t prototypes);

  void begin_step();
  /// \param targets  [n, K], each row sums to 1; n may be 0
  void add(View<float const, 2> targets);
  /// Over all ranks; all of them call this. Zero where no rank had a target.
  TeacherStatistics finish_step(Communicator const& world);

 private:
  Space space_;
  Buffer memory_;
  View<double, 1> entropy_;  ///< [1]
  View<float, 1> usage_;     ///< [K]
  std::int64_t rows_ = 0;
  std::vector<float> staging_;  ///< [K], host
};

}  // namespace dino
