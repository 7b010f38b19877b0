// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "kernels/host/parallel.hpp"
#include "kernels/view.hpp"

namespace dino::host {

/// Σ f(i) over one row in float32; vectorised, the same order of additions for the same length.
template <class F>
float row_sum(std::int64_t n, F const& f) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += f(i);
  return sum;
}

/// Long rows: float32 within blocks, float64 between them.
template <class F>
double long_row_sum(std::int64_t n, F const& f) {
  constexpr std::int64_t block = 1024;
  double sum = 0;
  for (std::int64_t begin = 0; begin < n; begin += block) {
    sum += row_sum(std::min(block, n - begin), [&](std::int64_t i) { return f(begin + i); });
  }
  return sum;
}

/// max f(i) over one row with n >= 1 values.
template <class F>
float row_max(std::int64_t n, F const& f) {
  float largest = f(0);
#pragma omp simd reduction(max : largest)
  for (std::int64_t i = 0; i < n; ++i) {
    float const v = f(i);
    largest = v > largest ? v : largest;
  }
  return largest;
}

/// sums[j] += Σ_i x(i, j) for [rows, columns] values: in blocks of rows, each block by itself, so
/// that rounding grows with the block and the number of blocks, and bits do not depend on threads.
template <class F>
void add_column_sums(std::int64_t rows, std::int64_t columns, float* sums, F const& x) {
  constexpr std::int64_t row_block = 64;
  constexpr std::int64_t column_block = 256;
  parallel_parts(columns, column_block, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = 0; first < rows; first += row_block) {
      float partial[column_block] = {};
      auto const last = std::min(rows, first + row_block);
      for (std::int64_t i = first; i < last; ++i) {
#pragma omp simd
        for (std::int64_t j = begin; j < end; ++j) partial[j - begin] += x(i, j);
      }
#pragma omp simd
      for (std::int64_t j = begin; j < end; ++j) sums[j] += partial[j - begin];
    }
  });
}

}  // namespace dino::host
