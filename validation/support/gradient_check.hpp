// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace dino::test {

/// Gradient of a scalar function of float64 variables by central differences: for smooth functions
/// of values near 1 exact to about 1e-9, far below the rounding of float32.
/// \param f  double(std::vector<double> const&)
template <class F>
std::vector<double> numeric_gradient(F const& f, std::vector<double> x) {
  std::vector<double> gradient(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    double const at = x[i];
    double const step = 6e-6 * std::max(1.0, std::abs(at));  // cube root of the unit roundoff
    x[i] = at + step;
    double const above = f(x);
    x[i] = at - step;
    double const below = f(x);
    x[i] = at;
    gradient[i] = (above - below) / (2 * step);
  }
  return gradient;
}

/// Σ a_i b_i: turns a function with many results into a scalar one, whose gradient backward gives
/// for the gradient `b` of its results.
inline double inner_product(std::vector<double> const& a, std::vector<double> const& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace dino::test
