// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <optional>

namespace dino::optim {

/// Warm-up that reaches its last value, then half a cosine that only approaches `last`: the
/// schedule of v1, of v2 and of v3's older configurations. A warm-up longer than the run is cut off
/// with it. Source: Loshchilov & Hutter 2017, arXiv:1608.03983; method.md 6.4, Cosine-A.
struct CosineA {
  std::int64_t total = 0;   ///< iterations, freeze and warm-up included
  double base = 0;          ///< after the warm-up
  double last = 0;          ///< approached at the end, and the value past it
  std::int64_t warmup = 0;  ///< iterations; the last of them has the value `base`
  double start = 0;         ///< first value of the warm-up
  std::int64_t freeze = 0;  ///< iterations of value 0 before the warm-up
  double trunc_extra = 0;   ///< >= 0: the cosine of a run longer by this share, rescaled to `last`

  double at(std::int64_t iteration) const;
};

/// Warm-up that stops one step before `peak`, then half a cosine that reaches `end`, then `end`.
/// Source: method.md 6.4, Cosine-B (the `schedules` of v3).
struct CosineB {
  std::int64_t total = 0;  ///< iterations
  double start = 0, peak = 0, end = 0;
  std::int64_t warmup = 0;                  ///< iterations
  std::optional<std::int64_t> cosine = {};  ///< iterations; unset: all that are left

  double at(std::int64_t iteration) const;
};

/// Linear ramp that reaches its last value, then a constant: the teacher temperature, by epoch in
/// v1 and by iteration in v2. A ramp of length 1 is the one value `start`.
/// Source: method.md 6.4.
struct LinearRamp {
  double start = 0, value = 0;
  std::int64_t warmup = 0;  ///< epochs or iterations

  double at(std::int64_t index) const;
};

/// How the learning rate follows the global batch. Source: method.md 6.3.
enum class LrScaling {
  none,
  linear_256,      ///< lr batch / 256 (v1, v3 linear_wrt_256)
  sqrt_1024,       ///< lr sqrt(batch / 1024) (v2)
  four_sqrt_1024,  ///< lr 4 sqrt(batch / 1024) (v3 sqrt_wrt_1024)
};

double scaled_lr(double lr, LrScaling rule, std::int64_t global_batch);

/// Learning rate of the last layer in v2 and v3: 0 in the first `frozen` iterations, then `lr`.
constexpr double last_layer_lr(double lr, std::int64_t iteration, std::int64_t frozen) {
  return iteration < frozen ? 0.0 : lr;
}

}  // namespace dino::optim
