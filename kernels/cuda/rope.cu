// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/launch.cuh"
#include "kernels/rope.hpp"

namespace dino {
namespace {

/// The patches of a segment as rows, the pairs of channels of all their vectors as columns.
template <class T>
struct RotatePairs {
  T* qkv;               ///< of the segment's first row
  std::int64_t stride;  ///< of the rows of qkv
  std::int64_t patches, tokens, prefix, grid_height, grid_width;
  std::int64_t n;      ///< angles of an axis, a quarter of a head
  float const* table;  ///< of the segment
  float sign;          ///< -1: back

  struct Line {
    T* vectors;
    float const *y, *x;
  };
  __device__ Line line(std::int64_t i) const {
    auto const patch = i % patches;
    return {qkv + (i / patches * tokens + prefix + patch) * stride,
            table + patch / grid_width * 2 * n, table + (grid_height + patch % grid_width) * 2 * n};
  }
  template <int N>
  __device__ void at(Line const& line, std::int64_t pair) const {
    auto const vector = pair / (2 * n), c = pair % (2 * n);
    auto* const low = line.vectors + vector * 4 * n + c;
    auto const* const angles = c < n ? line.y + c : line.x + (c - n);
    float a[N], b[N], cosine[N], sine[N];
    cuda::load<N>(low, a);
    cuda::load<N>(low + 2 * n, b);
    cuda::load<N>(angles, cosine);
    cuda::load<N>(angles + n, sine);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      float const s = sign * sine[k], before = a[k];
      a[k] = before * cosine[k] - b[k] * s;
      b[k] = b[k] * cosine[k] + before * s;
    }
    cuda::store<N>(low, a);
    cuda::store<N>(low + 2 * n, b);
  }
};

}  // namespace

template <class T>
void execute(Cuda const& cuda, RopeRotate<T> const& op) {
  constexpr int pack = cuda::pack_size<T>;
  auto const stride = op.qkv.extent(1), n = stride / (12 * op.heads);
  auto const* table = op.table.data();
  for (auto const& segment : op.layout->segments()) {
    cuda::for_rows<pack>(
        cuda, segment.images * segment.patches(), 2 * op.heads * 2 * n,
        cuda::aligned_rows<pack>(n, op.qkv.data(), op.table.data()),
        RotatePairs<T>{op.qkv.data() + segment.first_row * stride, stride, segment.patches(),
                       segment.tokens(), segment.prefix, segment.grid_height, segment.grid_width, n,
                       table, op.rotation == Rotation::forward ? 1.0F : -1.0F});
    table += (segment.grid_height + segment.grid_width) * 2 * n;
  }
}

template void execute(Cuda const&, RopeRotate<float> const&);
template void execute(Cuda const&, RopeRotate<bfloat16> const&);

}  // namespace dino
