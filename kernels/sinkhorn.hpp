// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/space.hpp"

namespace dino {

// The matrix of Sinkhorn-Knopp is kept as x_ik r_k c_i: x is written once, the scalings are vectors
// in double (their range is the inverse of that of x). Source: Cuturi 2013, arXiv:1306.0895;
// method.md 3.5.

/// x_ik = exp(x_ik/τ - m_i) with m_i = max_k x_ik/τ. A constant of a row is no more than a factor
/// of its c_i, which starts as exp(m_i - max_i m_i): exact, where a softmax of each row would not
/// be.
struct SinkhornExponential {
  View<float, 2> x;  ///< [R, K], in place; ratios below e⁻⁸⁷ within a row become e⁻⁸⁷
  float temperature = 0.04F;
  View<double, 1> row_max;  ///< [R], m
  void check() const;
};

/// sums_k = factor sums_k + Σ_i x_ik c_i, in a fixed order.
struct ScaledColumnSums {
  View<float const, 2> x;           ///< [R, K]
  View<double const, 1> row_scale;  ///< [R], c
  View<double, 1> sums;             ///< [K], added to
  double factor = 1;  ///< of the sums of rows before, whose scales were relative to another value
  void check() const;
};

/// c_i = 1 / Σ_k x_ik r_k.
struct InverseRowSums {
  View<float const, 2> x;              ///< [R, K]
  View<double const, 1> column_scale;  ///< [K], r
  View<double, 1> row_scale;           ///< [R], c, overwritten
  void check() const;
};

/// x_ik = x_ik r_k / Σ_k x_ik r_k.
struct NormalizeScaledRows {
  View<float, 2> x;                    ///< [R, K], in place
  View<double const, 1> column_scale;  ///< [K], r
  void check() const;
};

void execute(Host const& host, SinkhornExponential const& op);
void execute(Cuda const& cuda, SinkhornExponential const& op);
void execute(Host const& host, ScaledColumnSums const& op);
void execute(Cuda const& cuda, ScaledColumnSums const& op);
void execute(Host const& host, InverseRowSums const& op);
void execute(Cuda const& cuda, InverseRowSums const& op);
void execute(Host const& host, NormalizeScaledRows const& op);
void execute(Cuda const& cuda, NormalizeScaledRows const& op);

}  // namespace dino
