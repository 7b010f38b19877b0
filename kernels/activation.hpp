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

/// dx = dy (Φ(x) + x φ(x)).
template <class T>
struct GeluBackward {
  View<T const, 2> dy, x;  ///< [T, H]
  View<T, 2> dx;           ///< [T, H], may alias dy
  void check() const;
};

template <class T>
void execute(Host const& host, GeluForward<T> const& op);
template <class T>
void execute(Host const& host, GeluBackward<T> const& op);

}  // namespace dino
