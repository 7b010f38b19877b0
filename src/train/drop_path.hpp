// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace dino::train {

/// Drop-path factors of the student: [2 depth, crops * images], 0 or 1/(1-r) with r rising linearly
/// over the blocks, keyed by (seed, global sample position, branch, crop). Source: method.md 1.8
/// (v1).
std::vector<float> drop_path_factors(double rate, std::int64_t depth, std::int64_t crops,
                                     std::int64_t seed, std::span<std::int64_t const> positions);

/// Drop-path factors of DINOv2: [2 depth, crops * images], b/s for the images of a subset of
/// exactly s = max(int(b (1 - rate)), 1) of the b global (or local) crops of the GLOBAL batch, else
/// 0; for each branch and kind of crop another subset, keyed by (seed, step, branch, kind). Source:
/// method.md 1.8 (v2). \param first, images  this micro-batch's place in the global batch
struct SubsetDropPath {
  double rate = 0;
  std::int64_t depth = 12, global_crops = 2, local_crops = 8, global_batch = 1, seed = 0;
  std::vector<float> factors(std::int64_t step, std::int64_t first, std::int64_t images) const;
};

}  // namespace dino::train
