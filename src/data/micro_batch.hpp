// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

#include "data/loader.hpp"

namespace dino {

/// Which images a micro-batch consists of.
struct MicroBatch {
  std::int64_t step = 0;
  std::vector<std::int64_t> positions;  ///< global sample positions, consecutive
  std::vector<std::int64_t> indices;    ///< index of the image at each position
};

/// Part `part` of what this rank takes from global batch `step`, which is batch `number` of the
/// order.
MicroBatch micro_batch_at(SampleOrder const& order, BatchSlice const& slice,
                          std::int64_t batch_size, std::int64_t step, std::int64_t number,
                          std::int64_t part);

/// Images that lie side by side and are read together: index begin + k belongs at places[k].
struct ReadRun {
  std::int64_t begin = 0;
  std::vector<std::int64_t> places;
};
/// The images of a micro-batch as runs of at most `longest` images, in order of their indices.
std::vector<ReadRun> read_runs(std::vector<std::int64_t> const& indices, std::int64_t longest);

}  // namespace dino
