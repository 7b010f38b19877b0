// SPDX-License-Identifier: Apache-2.0
#include "kernels/rope.hpp"

#include "kernels/host/parallel.hpp"
#include "kernels/host/store.hpp"

namespace dino {

namespace {

/// Rotates n pairs (low, high) by the angles of one axis; `sign` -1: back.
template <class T>
void rotate_pairs(T* low, T* high, float const* line, float sign, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    float const cosine = line[i], sine = sign * line[n + i];
    auto const a = static_cast<float>(low[i]), b = static_cast<float>(high[i]);
    host::store(low[i], a * cosine - b * sine);
    host::store(high[i], b * cosine + a * sine);
  }
}

}  // namespace

template <class T>
void execute(Host const&, RopeRotate<T> const& op) {
  auto const dim = op.qkv.extent(1) / (3 * op.heads), n = dim / 4;
  auto const vectors = 2 * op.heads;  // of a row: q and k lie side by side
  float const sign = op.rotation == Rotation::forward ? 1.0F : -1.0F;
  auto const* table = op.table.data();
  for (auto const& segment : op.layout->segments()) {
    auto const patches = segment.patches();
    host::parallel_rows(segment.images * patches, [=, qkv = op.qkv](std::int64_t i) {
      auto const patch = i % patches;
      auto* v =
          qkv.row(segment.first_row + i / patches * segment.tokens() + segment.prefix + patch);
      auto const* const y = table + patch / segment.grid_width * 2 * n;
      auto const* const x = table + (segment.grid_height + patch % segment.grid_width) * 2 * n;
      for (std::int64_t h = 0; h < vectors; ++h, v += dim) {
        rotate_pairs(v, v + 2 * n, y, sign, n);
        rotate_pairs(v + n, v + 3 * n, x, sign, n);
      }
    });
    table += (segment.grid_height + segment.grid_width) * 2 * n;
  }
}

template void execute(Host const&, RopeRotate<float> const&);
template void execute(Host const&, RopeRotate<bfloat16> const&);

}  // namespace dino
