// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/view.hpp"

// Products of matrices that fit a cache, inside one thread and without a library call: the right
// factor is packed into panels of `panel` columns, which a kernel multiplies with six rows at a
// time.
namespace dino::host {

#ifdef __AVX512F__
constexpr std::int64_t lanes = 16;
#else
constexpr std::int64_t lanes = 8;
#endif
constexpr std::int64_t panel = 2 * lanes;
using Lanes [[gnu::vector_size(4 * lanes)]] = float;
using LanesInMemory [[gnu::vector_size(4 * lanes), gnu::aligned(4), gnu::may_alias]] = float;

constexpr std::int64_t padded(std::int64_t columns) {
  return (columns + panel - 1) / panel * panel;
}

/// packed [padded(n) / panel, k, panel] from b [k, n] with rows `stride` apart; the padding is
/// zero.
template <class T>
void pack(T const* b, std::int64_t stride, std::int64_t k, std::int64_t n, float* packed) {
  for (std::int64_t first = 0; first < n; first += panel) {
    auto const count = std::min(panel, n - first);
    for (std::int64_t t = 0; t < k; ++t, packed += panel) {
      auto const* const row = b + t * stride + first;
      if (count == panel) {
        for (std::int64_t j = 0; j < panel; ++j) packed[j] = static_cast<float>(row[j]);
      } else {
        for (std::int64_t j = 0; j < panel; ++j)
          packed[j] = j < count ? static_cast<float>(row[j]) : 0.0F;
      }
    }
  }
}

using Eight [[gnu::vector_size(32)]] = float;
using EightInMemory [[gnu::vector_size(32), gnu::aligned(4), gnu::may_alias]] = float;

/// Transposes 8 x 8 values: exchanges each bit of the row number with that of the column number.
inline void transpose(Eight (&r)[8]) {
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    Eight const a = r[i], b = r[i + 4];
    r[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
    r[i + 4] = __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
  }
#pragma GCC unroll 4
  for (int pair = 0; pair < 4; ++pair) {
    int const i = pair + (pair & 2);  // 0, 1, 4, 5
    Eight const a = r[i], b = r[i + 2];
    r[i] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
    r[i + 2] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    Eight const a = r[i], b = r[i + 1];
    r[i] = __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14);
    r[i + 1] = __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
  }
}

/// out[t * panel + j] = b[j * stride + t] for j < 8 and t < k; rows from `count` on count as zero.
template <class T>
void pack_eight_transposed(T const* b, std::int64_t stride, std::int64_t k, std::int64_t count,
                           float* out) {
  std::int64_t t = 0;
  for (; count >= 8 && t + 8 <= k; t += 8) {
    Eight rows[8];
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) {
      if constexpr (std::is_same_v<T, float>) {
        rows[j] = *reinterpret_cast<EightInMemory const*>(b + j * stride + t);
      } else {
        for (int i = 0; i < 8; ++i) rows[j][i] = static_cast<float>(b[j * stride + t + i]);
      }
    }
    transpose(rows);
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) *reinterpret_cast<EightInMemory*>(out + (t + j) * panel) = rows[j];
  }
  for (; t < k; ++t) {
    for (int j = 0; j < 8; ++j)
      out[t * panel + j] = j < count ? static_cast<float>(b[j * stride + t]) : 0.0F;
  }
}

/// The same from the transpose: b is [n, k].
template <class T>
void pack_transposed(T const* b, std::int64_t stride, std::int64_t k, std::int64_t n,
                     float* packed) {
  for (std::int64_t first = 0; first < n; first += panel, packed += k * panel) {
    for (std::int64_t j = 0; j < panel; j += 8) {
      pack_eight_transposed(b + (first + j) * stride, stride, k, n - first - j, packed + j);
    }
  }
}

/// The left factor: value (i, t) at data[i * row + t * column].
struct Left {
  float const* data;
  std::int64_t row, column;
};

inline Lanes load(float const* from) {
  return *reinterpret_cast<LanesInMemory const*>(from);
}
inline void store(Lanes value, float* to) {
  *reinterpret_cast<LanesInMemory*>(to) = value;
}

/// `rows` rows of c [rows, panel] = or += a [rows, k] times one packed panel.
template <int rows>
void multiply_panel(Left a, float const* packed, std::int64_t k, float* c, std::int64_t c_stride,
                    bool accumulate) {
  // Unrolled, so that the sums stay in registers.
  Lanes sum[rows][2] = {};
  if (accumulate) {
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      sum[i][0] = load(c + i * c_stride);
      sum[i][1] = load(c + i * c_stride + lanes);
    }
  }
  for (std::int64_t t = 0; t < k; ++t, packed += panel) {
    Lanes const first = load(packed), second = load(packed + lanes);
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      float const left = a.data[i * a.row + t * a.column];
      sum[i][0] += left * first;
      sum[i][1] += left * second;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
    store(sum[i][0], c + i * c_stride);
    store(sum[i][1], c + i * c_stride + lanes);
  }
}

/// c [m, padded(n)] = a [m, k] b, or += with `accumulate`; rows of c are c_stride >= padded(n)
/// apart. Every row is the same sum in the same order whatever m is.
inline void tile_product(std::int64_t m, std::int64_t n, std::int64_t k, Left a,
                         float const* packed, float* c, std::int64_t c_stride, bool accumulate) {
  constexpr std::int64_t tile = 6;
  for (std::int64_t first = 0; first < n; first += panel, packed += k * panel) {
    for (std::int64_t i = 0; i < m; i += tile) {
      Left const rows{a.data + i * a.row, a.row, a.column};
      auto* const out = c + i * c_stride + first;
      switch (std::min(tile, m - i)) {
        case 6:
          multiply_panel<6>(rows, packed, k, out, c_stride, accumulate);
          break;
        case 5:
          multiply_panel<5>(rows, packed, k, out, c_stride, accumulate);
          break;
        case 4:
          multiply_panel<4>(rows, packed, k, out, c_stride, accumulate);
          break;
        case 3:
          multiply_panel<3>(rows, packed, k, out, c_stride, accumulate);
          break;
        case 2:
          multiply_panel<2>(rows, packed, k, out, c_stride, accumulate);
          break;
        default:
          multiply_panel<1>(rows, packed, k, out, c_stride, accumulate);
          break;
      }
    }
  }
}

}  // namespace dino::host
