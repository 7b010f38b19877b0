// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/space.hpp"

namespace dino {

/// One AdamW step over a range of a flat shard, t counted from 1:
///   θ ← θ(1 - lr wd);  m ← β1 m + (1-β1) g;  v ← β2 v + (1-β2) g²;
///   θ ← θ - lr (m/(1-β1ᵗ)) / (√v/√(1-β2ᵗ) + eps),   with g = gradient * gradient_scale.
/// Source: Loshchilov & Hutter 2019, arXiv:1711.05101; method.md 6.1.
struct AdamWStep {
  View<float, 1> parameter, exp_avg, exp_avg_sq;  ///< [n]
  View<float const, 1> gradient;                  ///< [n]
  float gradient_scale = 1;                       ///< clipping factor
  double lr = 0, weight_decay = 0;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  std::int64_t step = 1;  ///< t
  void check() const;
};

/// teacher ← m teacher + (1-m) student. Source: method.md 6.5, step 8.
struct EmaUpdate {
  View<float, 1> teacher;        ///< [n]
  View<float const, 1> student;  ///< [n]
  double momentum = 0.996;       ///< m
  void check() const;
};

void execute(Host const& host, AdamWStep const& op);
void execute(Cuda const& cuda, AdamWStep const& op);
void execute(Host const& host, EmaUpdate const& op);
void execute(Cuda const& cuda, EmaUpdate const& op);

}  // namespace dino
