// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/space.hpp"

namespace dino {

/// y = x Φ(x), the exact form with erf. Source: Hendrycks & Gimpel 2016, arXiv:1606.08415;
/// method.md 1.2.
template <class T>
struct GeluForward {
  View<T const, 2> x;  ///< [T, H]
  View<T, 2> y;        ///< [T, H], may alias x
  void check() const;
};

/// dx = dy (Φ(x) + x φ(x)), and dbias += column sums of dx, which is the gradient of the bias that
/// was added to x: a pass over dx less than with LinearBackwardWeight's.
template <class T>
struct GeluBackward {
  View<T const, 2> dy, x;     ///< [T, H]
  View<T, 2> dx;              ///< [T, H], may alias dy
  View<float, 1> dbias = {};  ///< [H], added to, of dx as it is stored; or empty: there is none
  void check() const;
};

/// y = silu(gate) ⊙ linear with x = [gate | linear] and silu(z) = z σ(z). Source: Shazeer 2020,
/// arXiv:2002.05202; method.md 1.2 (v2's packed form; v3's two matrices give the same layout).
template <class T>
struct SwigluForward {
  View<T const, 2> x;  ///< [T, 2 H]
  View<T, 2> y;        ///< [T, H], must not alias x
  void check() const;
};

/// dx = [dy ⊙ linear ⊙ silu'(gate) | dy ⊙ silu(gate)], silu'(z) = σ(z)(1 + z(1 - σ(z))), and
/// dbias += column sums of dx, as for GeluBackward.
template <class T>
struct SwigluBackward {
  View<T const, 2> dy;        ///< [T, H]
  View<T const, 2> x;         ///< [T, 2 H]
  View<T, 2> dx;              ///< [T, 2 H], may alias x
  View<float, 1> dbias = {};  ///< [2 H], added to, of dx as it is stored; or empty: there is none
  void check() const;
};

template <class T>
void execute(Host const& host, GeluForward<T> const& op);
template <class T>
void execute(Cuda const& cuda, GeluForward<T> const& op);
template <class T>
void execute(Host const& host, GeluBackward<T> const& op);
template <class T>
void execute(Cuda const& cuda, GeluBackward<T> const& op);
template <class T>
void execute(Host const& host, SwigluForward<T> const& op);
template <class T>
void execute(Cuda const& cuda, SwigluForward<T> const& op);
template <class T>
void execute(Host const& host, SwigluBackward<T> const& op);
template <class T>
void execute(Cuda const& cuda, SwigluBackward<T> const& op);

}  // namespace dino
