// SPDX-License-Identifier: Apache-2.0
// Batch normalisation in parts: between them the caller adds sums over ranks, so that statistics
// are those of the global batch.
#pragma once
#include "kernels/space.hpp"

namespace dino {

/// sums[0] = Σ x and sums[1] = Σ x² of each column, in float64.
template <class T>
struct BatchMoments {
  View<T const, 2> x;    ///< [rows, C]
  View<double, 2> sums;  ///< [2, C], overwritten
  void check() const;
};

enum class Relu { no, yes };

/// y = act((x - mean) rstd weight + bias + residual) with act(z) = max(z, 0) or z.
/// Source: Ioffe & Szegedy 2015, arXiv:1502.03167, alg. 1; method.md 1.10.
template <class T>
struct BatchNormForward {
  View<T const, 2> x;               ///< [rows, C]
  View<float const, 1> mean, rstd;  ///< [C], of the global batch (biased) or running ones
  View<T const, 1> weight, bias;    ///< [C]
  View<T const, 2> residual;        ///< [rows, C], or empty: none
  Relu relu = Relu::no;
  View<T, 2> y;  ///< [rows, C], may alias x or residual
  void check() const;
};

/// With dz = dy where there is no ReLU or y > 0, else 0, and x̂ = (x - mean) rstd: sums[0] = Σ dz
/// and sums[1] = Σ dz x̂ of each column, in float64. They are added to dbias and dweight too: those
/// are summed over ranks as any gradient.
template <class T>
struct BatchNormBackwardSums {
  View<T const, 2> dy;              ///< [rows, C]
  View<T const, 2> y;               ///< [rows, C], result of forward with ReLU; or empty: no ReLU
  View<T const, 2> x;               ///< [rows, C]
  View<float const, 1> mean, rstd;  ///< [C]
  View<double, 2> sums;             ///< [2, C], overwritten
  View<float, 1> dweight, dbias;    ///< [C], added to
  void check() const;
};

/// dx = weight rstd (dz - sums[0] / n - x̂ sums[1] / n), with n and sums of the global batch, and
/// dresidual = dz.
template <class T>
struct BatchNormBackward {
  View<T const, 2> dy, y, x;        ///< as above
  View<float const, 1> mean, rstd;  ///< [C]
  View<T const, 1> weight;          ///< [C]
  View<double const, 2> sums;       ///< [2, C], over all ranks
  double rows = 1;                  ///< n, rows of all ranks; >= 1 where there is any
  View<T, 2> dx;                    ///< [rows, C], may alias dy
  View<T, 2> dresidual;             ///< [rows, C], must not alias dx; or empty: not wanted
  void check() const;
};

template <class T>
void execute(Host const& host, BatchMoments<T> const& op);
template <class T>
void execute(Cuda const& cuda, BatchMoments<T> const& op);
template <class T>
void execute(Host const& host, BatchNormForward<T> const& op);
template <class T>
void execute(Cuda const& cuda, BatchNormForward<T> const& op);
template <class T>
void execute(Host const& host, BatchNormBackwardSums<T> const& op);
template <class T>
void execute(Cuda const& cuda, BatchNormBackwardSums<T> const& op);
template <class T>
void execute(Host const& host, BatchNormBackward<T> const& op);
template <class T>
void execute(Cuda const& cuda, BatchNormBackward<T> const& op);

}  // namespace dino
