// SPDX-License-Identifier: Apache-2.0
// Launches over many crops: the blocks of a row of the grid share one job at a time.
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/crops.hpp"
#include "kernels/cuda/launch.cuh"

namespace dino::cuda {

/// Rows of the grid for so many jobs; with more of them, each row takes several.
inline unsigned rows_for_jobs(std::int64_t jobs) {
  return static_cast<unsigned>(std::min<std::int64_t>(jobs, 65535));
}

/// A grid of `blocks` blocks for each job.
inline dim3 grid_of_jobs(std::int64_t jobs, std::int64_t blocks) {
  return dim3(static_cast<unsigned>(blocks), rows_for_jobs(jobs));
}

}  // namespace dino::cuda
