// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

#include "comm/communicator.hpp"
#include "kernels/space.hpp"

namespace dino {

/// How far the features of one step lie apart, over the global batch: 1 - ‖mean u‖² with u the
/// features of unit length, which is the mean squared distance from their mean. 0: all point the
/// same way (collapse); near 1: they spread over all directions.
class FeatureSpread {
 public:
  explicit FeatureSpread(std::int64_t dim) : sums_(static_cast<std::size_t>(dim) + 1, 0.0) {}
  void begin_step();
  /// \param features  [n, D], not normalised; n may be 0
  template <class T>
  void add(Space const& space, View<T const, 2> features);
  /// All ranks call this. 0 where no rank had a feature.
  double finish_step(Communicator const& world);

 private:
  std::vector<double> sums_;  ///< of u; the last: the number of features
};

}  // namespace dino
