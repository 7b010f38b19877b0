// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

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

/// The same from the transpose: b is [n, k].
template <class T>
void pack_transposed(T const* b, std::int64_t stride, std::int64_t k, std::int64_t n,
                     float* packed) {
  for (std::int64_t first = 0; first < n; first += panel, packed += k * panel) {
    for (std::int64_t j = 0; j < panel; ++j) {
      if (first + j < n) {
        auto const* const row = b + (first + j) * stride;
        for (std::int64_t t = 0; t < k; ++t) packed[t * panel + j] = static_cast<float>(row[t]);
      } else {
        for (std::int64_t t = 0; t < k; ++t) packed[t * panel + j] = 0.0F;
      }
    }
  }
}

/// The left factor: value (i, t) at data[i * row + t * column].
struct Left {
  float const* data;
  std::int64_t row, column;
};

template <int rows>
void multiply_panel(Left a, float const* packed, std::int64_t k, float* c, std::int64_t c_stride,
                    bool accumulate) {
  Lanes sum[rows][2];
  for (int i = 0; i < rows; ++i) {
    if (accumulate) {
      std::memcpy(&sum[i], c + i * c_stride, sizeof(sum[i]));
    } else {
      sum[i][0] = sum[i][1] = Lanes{};
    }
  }
  for (std::int64_t t = 0; t < k; ++t, packed += panel) {
    Lanes b[2];
    std::memcpy(&b, packed, sizeof(b));
    for (int i = 0; i < rows; ++i) {
      float const left = a.data[i * a.row + t * a.column];
      sum[i][0] += left * b[0];
      sum[i][1] += left * b[1];
    }
  }
  for (int i = 0; i < rows; ++i) std::memcpy(c + i * c_stride, &sum[i], sizeof(sum[i]));
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
