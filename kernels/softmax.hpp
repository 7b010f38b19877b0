// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/space.hpp"

namespace dino {

/// probabilities = softmax((logits - center) / temperature), row by row, in float32.
/// Source: DINO, arXiv:2104.14294, sec. 3.1; method.md 3.1.
struct CenteredSoftmax {
  View<float const, 2> logits;  ///< [R, K]
  View<float const, 1> center;  ///< [K]
  float temperature = 0.04F;
  View<float, 2> probabilities;  ///< [R, K], may alias logits
  void check() const;
};

/// sums += column sums, accumulated in a fixed order.
struct ColumnSums {
  View<float const, 2> x;  ///< [R, K]
  View<float, 1> sums;     ///< [K], added to
  void check() const;
};

/// Which pairs of a student crop and a teacher crop count; crops of one number are views of the
/// same image cut alike.
enum class CropPairing { different, all };

/// Cross-entropy of every student crop against every teacher crop, and its gradient. With P = sum
/// of the targets of a row and c their number (with pairs of the same crop left out, one less for a
/// crop that the teacher sees too):
///   loss += weight Σ_rows [c lse(s/τ) - Σ_k P_k s_k/τ],
///   dlogits = gradient_factor weight (c softmax(s/τ) - P)/τ.
/// Source: DINO, arXiv:2104.14294, eq. 3; method.md 3.1 to 3.3.
template <class T>
struct DinoCrossEntropy {
  View<float const, 2> student;  ///< [V * B, K] logits, crop-major, in the teacher's order
  View<float const, 2> teacher;  ///< [teacher_crops * B, K] probabilities, crop-major
  std::int64_t batch = 0;        ///< B, images of this call; V = student rows / B
  float temperature = 0.1F;      ///< τ_s
  double weight = 1;             ///< 1 / (pairs of crops * images of the global batch)
  View<T, 2> dlogits;            ///< [V * B, K], overwritten; may alias student where T is float
  View<double, 1> loss;          ///< [1], added to
  CropPairing pairing = CropPairing::different;
  std::int64_t teacher_crops = 2;
  double gradient_factor = 1;  ///< weight of this term in the objective
  void check() const;
};

/// Cross-entropy of each row against the target of the same row, weighted row by row, and its
/// gradient:
///   loss += weight Σ_i ω_i [lse(s_i/τ) - Σ_k t_ik s_ik/τ],
///   dlogits_i = gradient_factor weight ω_i (softmax(s_i/τ) - t_i)/τ.
/// Source: iBOT, arXiv:2111.07832, eq. 2; method.md 3.6.
template <class T>
struct TokenCrossEntropy {
  View<float const, 2> student;      ///< [M, K] logits
  View<float const, 2> teacher;      ///< [M, K] probabilities
  View<float const, 1> row_weights;  ///< [M], ω
  float temperature = 0.1F;          ///< τ_s
  double weight = 1;                 ///< 1 / crops of the global batch
  View<T, 2> dlogits;                ///< [M, K], overwritten; may alias student where T is float
  View<double, 1> loss;              ///< [1], added to
  double gradient_factor = 1;        ///< weight of this term in the objective
  void check() const;
};

/// Sums over rows, in double: entropy of each row of probabilities, and the largest value's index
/// count.
struct ProbabilityStatistics {
  View<float const, 2> probabilities;  ///< [R, K]
  View<double, 1> entropy;             ///< [1], added to: Σ_rows -Σ_k p ln p
  View<float, 1> usage;                ///< [K], added to: how often k is the row's largest
  void check() const;
};

void execute(Host const& host, CenteredSoftmax const& op);
void execute(Cuda const& cuda, CenteredSoftmax const& op);
void execute(Host const& host, ColumnSums const& op);
void execute(Cuda const& cuda, ColumnSums const& op);
template <class T>
void execute(Host const& host, DinoCrossEntropy<T> const& op);
template <class T>
void execute(Cuda const& cuda, DinoCrossEntropy<T> const& op);
template <class T>
void execute(Host const& host, TokenCrossEntropy<T> const& op);
template <class T>
void execute(Cuda const& cuda, TokenCrossEntropy<T> const& op);
void execute(Host const& host, ProbabilityStatistics const& op);
void execute(Cuda const& cuda, ProbabilityStatistics const& op);

}  // namespace dino
