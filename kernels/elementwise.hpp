// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/space.hpp"

namespace dino {

/// y = value.
template <class T>
struct Fill {
  View<T, 1> y;
  float value = 0;
  void check() const {}
};

/// y = x, converted. From and To are float or bfloat16.
template <class From, class To>
struct Cast {
  View<From const, 1> x;
  View<To, 1> y;  ///< may alias x where the types are equal
  void check() const;
};

/// y += a x, in float32.
template <class T>
struct Axpy {
  float a = 1;
  View<T const, 1> x;
  View<T, 1> y;
  void check() const;
};

/// *sum += the sum of squares of x, accumulated in double.
struct SumOfSquares {
  View<float const, 1> x;
  View<double, 1> sum;  ///< [1], added to
  void check() const;
};

/// x *= factor.
struct Scale {
  View<float, 1> x;
  float factor = 1;
  void check() const {}
};

template <class T>
void execute(Host const& host, Fill<T> const& op);
template <class T>
void execute(Cuda const& cuda, Fill<T> const& op);
template <class From, class To>
void execute(Host const& host, Cast<From, To> const& op);
template <class From, class To>
void execute(Cuda const& cuda, Cast<From, To> const& op);
template <class T>
void execute(Host const& host, Axpy<T> const& op);
template <class T>
void execute(Cuda const& cuda, Axpy<T> const& op);
void execute(Host const& host, SumOfSquares const& op);
void execute(Cuda const& cuda, SumOfSquares const& op);
void execute(Host const& host, Scale const& op);
void execute(Cuda const& cuda, Scale const& op);

}  // namespace dino
