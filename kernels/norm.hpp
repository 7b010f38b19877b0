// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/space.hpp"

namespace dino {

/// y = (x - mean) / sqrt(var + eps) * weight + bias, row by row (biased variance), statistics in
/// float32. Source: Ba et al. 2016, arXiv:1607.06450, sec. 3; method.md 1.2.
template <class T>
struct LayerNormForward {
  View<T const, 2> x;             ///< [T, D]
  View<T const, 1> weight, bias;  ///< [D]
  View<T, 2> y;                   ///< [T, D], may alias x
  View<float, 1> mean, rstd;      ///< [T], kept for backward; both empty: not kept
  float eps = 1e-6F;
  void check() const;
};

/// Gradients of LayerNormForward. dx is added to (`accumulate`) or overwritten.
template <class T>
struct LayerNormBackward {
  View<T const, 2> dy;              ///< [T, D]
  View<T const, 2> x;               ///< [T, D], the input of forward
  View<T const, 1> weight;          ///< [D]
  View<float const, 1> mean, rstd;  ///< [T]
  View<T, 2> dx;                    ///< [T, D], may alias dy unless accumulate
  View<float, 1> dweight, dbias;    ///< [D], added to
  bool accumulate = false;          ///< dx += instead of dx =
  void check() const;
};

/// y = x / sqrt(mean(x²) + eps) * weight, row by row, statistics in float32.
/// Source: Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4; method.md 1.2.
template <class T>
struct RmsNormForward {
  View<T const, 2> x;       ///< [T, D]
  View<T const, 1> weight;  ///< [D]
  View<T, 2> y;             ///< [T, D], may alias x
  View<float, 1> rstd;      ///< [T], 1 / sqrt(mean(x²) + eps), kept for backward; or empty
  float eps = 1e-5F;
  void check() const;
};

/// Gradients of RmsNormForward. dx is added to (`accumulate`) or overwritten.
template <class T>
struct RmsNormBackward {
  View<T const, 2> dy;        ///< [T, D]
  View<T const, 2> x;         ///< [T, D], the input of forward
  View<T const, 1> weight;    ///< [D]
  View<float const, 1> rstd;  ///< [T]
  View<T, 2> dx;              ///< [T, D], may alias dy unless accumulate
  View<float, 1> dweight;     ///< [D], added to
  bool accumulate = false;    ///< dx += instead of dx =
  void check() const;
};

/// y = x / max(‖x‖₂, eps), row by row. Source: method.md 2.
template <class T>
struct L2NormalizeForward {
  View<T const, 2> x;   ///< [R, D]
  View<T, 2> y;         ///< [R, D], may alias x
  View<float, 1> norm;  ///< [R], ‖x‖₂ (not clamped), kept for backward
  float eps = 1e-12F;
  void check() const;
};

/// dx = (dy - y (y·dy)) / ‖x‖ where ‖x‖ > eps, else dy / eps.
template <class T>
struct L2NormalizeBackward {
  View<T const, 2> dy, y;     ///< [R, D]; y is the result of forward
  View<float const, 1> norm;  ///< [R]
  View<T, 2> dx;              ///< [R, D], may alias dy
  float eps = 1e-12F;
  void check() const;
};

/// weight_k = g_k v_k / ‖v_k‖₂, row by row. Source: method.md 2.
template <class T>
struct WeightNormForward {
  View<T const, 2> g;  ///< [K, 1]
  View<T const, 2> v;  ///< [K, D]
  View<T, 2> weight;   ///< [K, D]
  void check() const;
};

/// dg_k += G·v̂_k and dv_k += g_k/‖v_k‖ (G - (G·v̂_k) v̂_k) with G = dweight_k, v̂ = v/‖v‖.
template <class T>
struct WeightNormBackward {
  View<float const, 2> dweight;  ///< [K, D]
  View<T const, 2> g;            ///< [K, 1]
  View<T const, 2> v;            ///< [K, D]
  View<float, 2> dg;             ///< [K, 1], added to; or empty: g is frozen
  View<float, 2> dv;             ///< [K, D], added to; must not alias dweight
  void check() const;
};

template <class T>
void execute(Host const& host, LayerNormForward<T> const& op);
template <class T>
void execute(Cuda const& cuda, LayerNormForward<T> const& op);
template <class T>
void execute(Host const& host, LayerNormBackward<T> const& op);
template <class T>
void execute(Cuda const& cuda, LayerNormBackward<T> const& op);
template <class T>
void execute(Host const& host, RmsNormForward<T> const& op);
template <class T>
void execute(Cuda const& cuda, RmsNormForward<T> const& op);
template <class T>
void execute(Host const& host, RmsNormBackward<T> const& op);
template <class T>
void execute(Cuda const& cuda, RmsNormBackward<T> const& op);
template <class T>
void execute(Host const& host, L2NormalizeForward<T> const& op);
template <class T>
void execute(Cuda const& cuda, L2NormalizeForward<T> const& op);
template <class T>
void execute(Host const& host, L2NormalizeBackward<T> const& op);
template <class T>
void execute(Cuda const& cuda, L2NormalizeBackward<T> const& op);
template <class T>
void execute(Host const& host, WeightNormForward<T> const& op);
template <class T>
void execute(Cuda const& cuda, WeightNormForward<T> const& op);
template <class T>
void execute(Host const& host, WeightNormBackward<T> const& op);
template <class T>
void execute(Cuda const& cuda, WeightNormBackward<T> const& op);

}  // namespace dino
