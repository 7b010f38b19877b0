// SPDX-License-Identifier: Apache-2.0
// Rows of the packed token matrix: picking some, and residual branches that are computed for some.
#pragma once
#include <cstdint>

#include "kernels/space.hpp"

namespace dino {

/// y[i] = x[rows[i]].
template <class T>
struct RowGather {
  View<T const, 2> x;                ///< [n, D]
  View<std::int32_t const, 1> rows;  ///< [m], each in [0, n)
  View<T, 2> y;                      ///< [m, D]
  void check() const;
};

/// y[rows[i]] += x[i], in float32. No row occurs twice in `rows`.
template <class T>
struct RowScatterAdd {
  View<T const, 2> x;                ///< [m, D]
  View<std::int32_t const, 1> rows;  ///< [m], each in [0, n), different
  View<T, 2> y;                      ///< [n, D], added to
  void check() const;
};

/// y = x, then y[rows[i]] += scale[i] gamma ⊙ branch[i]: the residual connection with LayerScale,
/// and stochastic depth that computes the branch for the rows of some samples only.
/// Source: Touvron et al. 2021, arXiv:2103.17239; method.md 1.2, 1.8.
template <class T>
struct ResidualForward {
  View<T const, 2> x;                ///< [n, D]
  View<T const, 2> branch;           ///< [m, D]
  View<T const, 1> gamma;            ///< [D], or empty: all one
  View<std::int32_t const, 1> rows;  ///< [m], different; or null: all rows in order, m = n
  View<float const, 1> scale;        ///< [m], or empty: all one
  View<T, 2> y;                      ///< [n, D], may alias x
  void check() const;
};

/// dbranch[i] = scale[i] gamma ⊙ dy[rows[i]],  dgamma += Σ_i scale[i] dy[rows[i]] ⊙ branch[i].
template <class T>
struct ResidualBackward {
  View<T const, 2> dy;               ///< [n, D]
  View<T const, 2> branch;           ///< [m, D]; needed where there is a dgamma
  View<T const, 1> gamma;            ///< [D], or empty
  View<std::int32_t const, 1> rows;  ///< [m], or null
  View<float const, 1> scale;        ///< [m], or empty
  View<T, 2> dbranch;                ///< [m, D], overwritten
  View<float, 1> dgamma;             ///< [D], added to; or empty
  void check() const;
};

template <class T>
void execute(Host const& host, RowGather<T> const& op);
template <class T>
void execute(Cuda const& cuda, RowGather<T> const& op);
template <class T>
void execute(Host const& host, RowScatterAdd<T> const& op);
template <class T>
void execute(Cuda const& cuda, RowScatterAdd<T> const& op);
template <class T>
void execute(Host const& host, ResidualForward<T> const& op);
template <class T>
void execute(Cuda const& cuda, ResidualForward<T> const& op);
template <class T>
void execute(Host const& host, ResidualBackward<T> const& op);
template <class T>
void execute(Cuda const& cuda, ResidualBackward<T> const& op);

}  // namespace dino
