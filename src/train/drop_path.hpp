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

}  // namespace dino::train
