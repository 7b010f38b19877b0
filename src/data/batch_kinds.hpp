// SPDX-License-Identifier: Apache-2.0
// What kind of batch a step has: the sizes of its crops, and the data set that it is taken from.
#pragma once
#include <cstdint>
#include <span>

#include "config/crop_sizes.hpp"

namespace dino {

/// The sizes of a step's crops, drawn with their shares: a pure function of (seed, step), so the
/// same on all ranks and after a restart. Source: method.md 7.4, last point.
config::CropSizes const& sizes_at(std::span<config::CropSizes const> sizes, std::int64_t seed,
                                  std::int64_t step);

/// Which of two data sets the whole batch of a step is taken from: a pure function of (seed, step),
/// drawn with the share of the second one.
class DataMix {
 public:
  DataMix(double share, std::int64_t seed) : share_(share), seed_(seed) {}
  bool second(std::int64_t step) const;
  /// Steps before `step` whose batch is of the second set: all draws once more, 0.1 s for a
  /// million.
  std::int64_t second_before(std::int64_t step) const;

 private:
  double share_;
  std::int64_t seed_;
};

}  // namespace dino
