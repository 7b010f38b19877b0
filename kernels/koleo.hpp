// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/space.hpp"

namespace dino {

/// The `topk` largest values of each row, falling; equal values in the order of their columns. The
/// row's own column comes after all others (a row alone is its own neighbour). Source:
/// method.md 3.7.
struct TopNeighbours {
  View<float const, 2> similarity;   ///< [R, G]
  std::int64_t first = 0;            ///< own column of row 0; that of row i is first + i
  View<std::int64_t, 2> neighbours;  ///< [R, topk], columns; topk <= G
  void check() const;
};

/// The Kozachenko-Leonenko estimator over pairs of unit vectors, and its gradient. With
/// e = u_i - u_j + ε and d = ‖e‖ for every row i and each of its neighbours j:
///   loss -= weight Σ ln(d + ε) over the rows [begin, end),
///   du_i -= weight e/(d (d + ε)), du_j += the same, over all rows.
/// Source: Sablayrolles et al. 2019, arXiv:1806.03198; method.md 3.7.
struct KoleoPairs {
  View<float const, 2> u;                  ///< [G, D]
  View<std::int64_t const, 2> neighbours;  ///< [G, topk]
  std::int64_t begin = 0, end = 0;         ///< rows that count for the loss
  double weight = 1, gradient_factor = 1;  ///< 1 / pairs of the global batch; and of the objective
  View<double, 2> coefficients;            ///< [G, topk], scratch
  View<float, 2> du;                       ///< [G, D], overwritten
  View<double, 1> loss;                    ///< [1], added to
  float eps = 1e-8F;
  void check() const;
};

void execute(Host const& host, TopNeighbours const& op);
void execute(Cuda const& cuda, TopNeighbours const& op);
void execute(Host const& host, KoleoPairs const& op);
void execute(Cuda const& cuda, KoleoPairs const& op);

}  // namespace dino
