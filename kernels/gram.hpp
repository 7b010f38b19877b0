// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/space.hpp"

namespace dino {

/// Which negative similarities become 0 before matrices are compared.
enum class GramNegatives {
  kept,
  removed,             ///< of student and teacher
  removed_of_teacher,  ///< of the teacher only
};

/// Squared differences of two blocks of Gram matrices, and the gradient with respect to the
/// student's. With s, t after the removal of negative values:
///   loss += weight Σ (s - t)²,   student = gradient_factor 2 weight (s - t), 0 where s was
///   removed.
/// Source: DINOv3, arXiv:2508.10104, sec. 4; method.md 3.8.
struct GramDifference {
  View<float, 2> student;        ///< [R, C] similarities, overwritten by their gradient
  View<float const, 2> teacher;  ///< [R, C] similarities
  GramNegatives negatives = GramNegatives::kept;
  double weight = 1;           ///< 1 / elements of all matrices of the global batch
  double gradient_factor = 1;  ///< weight of this term in the objective
  View<double, 1> loss;        ///< [1], added to
  void check() const;
};

void execute(Host const& host, GramDifference const& op);
void execute(Cuda const& cuda, GramDifference const& op);

}  // namespace dino
