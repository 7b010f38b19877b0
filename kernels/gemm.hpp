// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/space.hpp"

namespace dino {

/// y = x weightᵀ + bias, in T with float32 accumulation; Out is T or float.
/// Source: method.md 0 (Linear weights are [out, in]).
template <class T, class Out = T>
struct LinearForward {
  View<T const, 2> x;       ///< [rows, in]
  View<T const, 2> weight;  ///< [out, in]
  View<T const, 1> bias;    ///< [out], or empty: none
  View<Out, 2> y;           ///< [rows, out]
  void check() const;       ///< \throws Error if the extents disagree
  double matrix_flops() const {
    return 2.0 * static_cast<double>(x.size()) * static_cast<double>(weight.extent(0));
  }
};

/// dx = dy weight.
template <class T>
struct LinearBackwardInput {
  View<T const, 2> dy;      ///< [rows, out]
  View<T const, 2> weight;  ///< [out, in]
  View<T, 2> dx;            ///< [rows, in], overwritten
  void check() const;
  double matrix_flops() const {
    return 2.0 * static_cast<double>(dx.size()) * static_cast<double>(weight.extent(0));
  }
};

/// dweight += dyᵀ x and dbias += column sums of dy, both in float32.
template <class T>
struct LinearBackwardWeight {
  View<T const, 2> x;      ///< [rows, in]
  View<T const, 2> dy;     ///< [rows, out]
  View<float, 2> dweight;  ///< [out, in], added to
  View<float, 1> dbias;    ///< [out], added to; or empty: no bias
  void check() const;
  double matrix_flops() const {
    return 2.0 * static_cast<double>(x.size()) * static_cast<double>(dweight.extent(0));
  }
};

template <class T, class Out>
void execute(Host const& host, LinearForward<T, Out> const& op);
template <class T, class Out>
void execute(Cuda const& cuda, LinearForward<T, Out> const& op);
template <class T>
void execute(Host const& host, LinearBackwardInput<T> const& op);
template <class T>
void execute(Cuda const& cuda, LinearBackwardInput<T> const& op);
template <class T>
void execute(Host const& host, LinearBackwardWeight<T> const& op);
template <class T>
void execute(Cuda const& cuda, LinearBackwardWeight<T> const& op);

}  // namespace dino
