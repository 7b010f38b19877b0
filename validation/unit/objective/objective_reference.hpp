// SPDX-License-Identifier: Apache-2.0
// The objectives in float64, written down as in the papers: what the tests compare with.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "kernels/gram.hpp"

namespace dino::test {

using Doubles = std::vector<double>;

/// ln softmax(x / temperature) by rows of `width`.
inline Doubles log_softmax(Doubles x, std::size_t width, double temperature) {
  for (std::size_t r = 0; r < x.size(); r += width) {
    double largest = -INFINITY, sum = 0;
    for (std::size_t k = r; k < r + width; ++k) {
      x[k] /= temperature;
      largest = std::max(largest, x[k]);
    }
    for (std::size_t k = r; k < r + width; ++k) sum += std::exp(x[k] - largest);
    for (std::size_t k = r; k < r + width; ++k) x[k] -= largest + std::log(sum);
  }
  return x;
}

inline Doubles softmax(Doubles const& x, std::size_t width, double temperature) {
  auto p = log_softmax(x, width, temperature);
  for (auto& v : p) v = std::exp(v);
  return p;
}

/// -Σ_k t_k ln p_k of row `t` of the targets and row `s` of the logarithms.
inline double cross_entropy(Doubles const& targets, std::size_t t, Doubles const& log_p,
                            std::size_t s, std::size_t width) {
  double sum = 0;
  for (std::size_t k = 0; k < width; ++k) sum -= targets[t * width + k] * log_p[s * width + k];
  return sum;
}

/// Sinkhorn-Knopp as the reference has it, in logarithms: nothing overflows.
inline Doubles sinkhorn(Doubles log_q, std::size_t width, double temperature, int iterations) {
  auto const rows = log_q.size() / width;
  for (auto& v : log_q) v /= temperature;
  auto const normalize = [&](std::size_t lines, std::size_t length, auto at) {
    for (std::size_t i = 0; i < lines; ++i) {
      double largest = -INFINITY, sum = 0;
      for (std::size_t j = 0; j < length; ++j) largest = std::max(largest, log_q[at(i, j)]);
      for (std::size_t j = 0; j < length; ++j) sum += std::exp(log_q[at(i, j)] - largest);
      for (std::size_t j = 0; j < length; ++j) log_q[at(i, j)] -= largest + std::log(sum);
    }
  };
  for (int i = 0; i < iterations; ++i) {
    normalize(width, rows, [&](std::size_t k, std::size_t n) { return n * width + k; });
    normalize(rows, width, [&](std::size_t n, std::size_t k) { return n * width + k; });
  }
  for (auto& v : log_q) v = std::exp(v);
  return log_q;
}

/// KoLeo over consecutive groups of `group` rows: minus the mean over pairs.
inline double koleo(Doubles const& x, std::size_t width, std::size_t group, std::size_t topk) {
  constexpr double eps = 1e-8;
  auto const rows = x.size() / width;
  auto u = x;
  for (std::size_t i = 0; i < rows; ++i) {
    double squares = 0;
    for (std::size_t k = 0; k < width; ++k) squares += u[i * width + k] * u[i * width + k];
    for (std::size_t k = 0; k < width; ++k) u[i * width + k] /= std::max(std::sqrt(squares), eps);
  }
  auto const dot = [&](std::size_t i, std::size_t j) {
    if (i == j) return -1.0;
    double sum = 0;
    for (std::size_t k = 0; k < width; ++k) sum += u[i * width + k] * u[j * width + k];
    return sum;
  };
  double sum = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    auto const begin = i / group * group;
    std::vector<std::size_t> others(std::min(rows, begin + group) - begin);
    std::iota(others.begin(), others.end(), begin);
    std::stable_sort(others.begin(), others.end(),
                     [&](std::size_t a, std::size_t b) { return dot(i, a) > dot(i, b); });
    for (std::size_t n = 0; n < topk; ++n) {
      double squares = 0;
      for (std::size_t k = 0; k < width; ++k)
        squares += std::pow(u[i * width + k] - u[others[n] * width + k] + eps, 2);
      sum -= std::log(std::sqrt(squares) + eps);
    }
  }
  return sum / static_cast<double>(rows * topk);
}

/// Rows of `width` values, each of unit length.
inline Doubles unit_rows(Doubles x, std::size_t width) {
  for (std::size_t r = 0; r < x.size(); r += width) {
    double squares = 0;
    for (std::size_t k = r; k < r + width; ++k) squares += x[k] * x[k];
    for (std::size_t k = r; k < r + width; ++k) x[k] /= std::sqrt(squares);
  }
  return x;
}

/// Σ (X Xᵀ - Y Yᵀ)² over the rows [first, first + n).
inline double gram_squares(Doubles student, Doubles teacher, std::size_t first, std::size_t n,
                           std::size_t width, bool normalized, GramNegatives negatives) {
  if (normalized) student = unit_rows(student, width), teacher = unit_rows(teacher, width);
  auto const similarity = [&](Doubles const& x, std::size_t i, std::size_t j, bool remove) {
    double const s = std::inner_product(x.begin() + static_cast<std::ptrdiff_t>(i * width),
                                        x.begin() + static_cast<std::ptrdiff_t>((i + 1) * width),
                                        x.begin() + static_cast<std::ptrdiff_t>(j * width), 0.0);
    return remove ? std::max(s, 0.0) : s;
  };
  double sum = 0;
  for (std::size_t i = first; i < first + n; ++i)
    for (std::size_t j = first; j < first + n; ++j)
      sum += std::pow(similarity(student, i, j, negatives == GramNegatives::removed) -
                          similarity(teacher, i, j, negatives != GramNegatives::kept),
                      2);
  return sum;
}

}  // namespace dino::test
