// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/shards.hpp"

namespace dino {

/// Evaluation transform: shorter side to `resize_size` (bicubic), centre crop, normalise. Source:
/// method.md 9.1.
struct EvaluationTransform {
  std::int64_t resize_size = 256;
  std::int64_t crop_size = 224;
  std::array<double, 3> mean{0.485, 0.456, 0.406};
  std::array<double, 3> std{0.229, 0.224, 0.225};
};

/// Images [begin, end) of a shard set after the transform: [end - begin, 3, crop, crop], decoded by
/// `workers` threads. \throws Error (input) naming the image that cannot be read
std::vector<float> load_evaluation_images(io::ShardSet const& shards, std::int64_t begin,
                                          std::int64_t end, EvaluationTransform const& transform,
                                          std::int64_t workers);
/// The same of listed images: [images, 3, crop, crop].
std::vector<float> load_evaluation_images(io::ShardSet const& shards,
                                          std::span<std::int64_t const> images,
                                          EvaluationTransform const& transform,
                                          std::int64_t workers);

}  // namespace dino
