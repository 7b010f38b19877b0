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

/// One step with momentum over a range of a flat shard, with d = trust (g + wd θ) and
/// g = gradient * gradient_scale:
///   buf ← μ buf + d;  θ ← θ - lr buf.  SGD where trust is 1. Source: method.md 6.1.
struct MomentumStep {
  View<float, 1> parameter, buffer;  ///< [n]; the buffer starts as 0
  View<float const, 1> gradient;     ///< [n]
  float gradient_scale = 1;          ///< clipping factor
  double lr = 0, weight_decay = 0;
  double momentum = 0.9;  ///< μ
  double trust = 1;       ///< LARS: the factor of a whole parameter
  void check() const;
};

/// sums[0] += Σ θ² and sums[1] += Σ (g + wd θ)², in float64: what LARS takes its trust from.
/// Source: You et al. 2017, arXiv:1708.03888; method.md 6.1.
struct TrustSums {
  View<float const, 1> parameter, gradient;  ///< [n]
  float gradient_scale = 1;
  double weight_decay = 0;
  View<double, 1> sums;  ///< [2], added to
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
void execute(Host const& host, MomentumStep const& op);
void execute(Cuda const& cuda, MomentumStep const& op);
void execute(Host const& host, TrustSums const& op);
void execute(Cuda const& cuda, TrustSums const& op);
void execute(Host const& host, EmaUpdate const& op);
void execute(Cuda const& cuda, EmaUpdate const& op);

}  // namespace dino
