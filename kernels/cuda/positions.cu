// SPDX-License-Identifier: Apache-2.0
// The rest of kernels/tokens.hpp: positions on other grids, class tokens.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/resample.cuh"
#include "kernels/tokens.hpp"

namespace dino {
namespace {

template <class T>
struct ResampledPositions {
  T const* positions;  ///< [1 + M M, D]
  float const *rows, *columns;
  T* out;
  std::int64_t width, side, across;
  __device__ std::int64_t line(std::int64_t row) const { return row; }
  template <int N>
  __device__ void at(std::int64_t row, std::int64_t d) const {
    if (row == 0) return cuda::copy<N>(positions + d, out + d);
    auto const y = (row - 1) / across, x = (row - 1) % across;
    float v[N];
    cuda::weighted_cells<N>(positions + width + d, width, rows + y * side, side, columns + x * side,
                            side, v);
    cuda::store<N>(out + row * width + d, v);
  }
};

struct PositionGradients {
  float const *dout, *rows, *columns;
  float* dpositions;
  std::int64_t width, side, height, across;
  __device__ std::int64_t line(std::int64_t row) const { return row; }
  template <int N>
  __device__ void at(std::int64_t row, std::int64_t d) const {
    float sum[N];
    cuda::load<N>(dpositions + row * width + d, sum);
    if (row == 0) {
      add<N>(1, dout + d, sum);
    } else {
      add_cells<N>((row - 1) / side, (row - 1) % side, d, sum);
    }
    cuda::store<N>(dpositions + row * width + d, sum);
  }
  template <int N>
  __device__ void add_cells(std::int64_t i, std::int64_t j, std::int64_t d, float (&sum)[N]) const {
    for (std::int64_t y = 0; y < height; ++y) {
      float const a = rows[y * side + i];
      if (a == 0) continue;
      for (std::int64_t x = 0; x < across; ++x) {
        float const weight = a * columns[x * side + j];
        if (weight != 0) add<N>(weight, dout + (1 + y * across + x) * width + d, sum);
      }
    }
  }
  template <int N>
  __device__ static void add(float weight, float const* from, float (&sum)[N]) {
    float v[N];
    cuda::load<N>(from, v);
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] += weight * v[k];
  }
};

/// Class tokens of a segment's images.
template <class T>
struct ClassRows {
  T const* tokens;  ///< of the segment
  T* rows;          ///< of its first image
  std::int64_t width, per_image;
  __device__ std::int64_t line(std::int64_t image) const { return image; }
  template <int N>
  __device__ void at(std::int64_t image, std::int64_t d) const {
    cuda::copy<N>(tokens + image * per_image * width + d, rows + image * width + d);
  }
};

/// Tokens of a segment that are 0 but for its class tokens.
template <class T>
struct ScatteredClassRows {
  T const* rows;
  T* tokens;
  std::int64_t width, per_image;
  struct Line {
    T const* from;  ///< null: zeros
    T* to;
  };
  __device__ Line line(std::int64_t row) const {
    bool const is_class = row % per_image == 0;
    return {is_class ? rows + row / per_image * width : nullptr, tokens + row * width};
  }
  template <int N>
  __device__ void at(Line const& line, std::int64_t d) const {
    if (line.from != nullptr) return cuda::copy<N>(line.from + d, line.to + d);
    float const zeros[N] = {};
    cuda::store<N>(line.to + d, zeros);
  }
};

}  // namespace

template <class T>
void execute(Cuda const& cuda, PositionResample<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const width = op.positions.extent(1);
  cuda::for_rows<n>(
      cuda, op.out.extent(0), width,
      cuda::aligned_rows<n>(width, op.positions.data(), op.out.data()),
      ResampledPositions<T>{op.positions.data(), op.rows.data(), op.columns.data(), op.out.data(),
                            width, op.rows.extent(1), op.columns.extent(0)});
}

void execute(Cuda const& cuda, PositionResampleBackward const& op) {
  constexpr int n = cuda::pack_size<float>;
  auto const width = op.dpositions.extent(1);
  cuda::for_rows<n>(
      cuda, op.dpositions.extent(0), width,
      cuda::aligned_rows<n>(width, op.dpositions.data(), op.dout.data()),
      PositionGradients{op.dout.data(), op.rows.data(), op.columns.data(), op.dpositions.data(),
                        width, op.rows.extent(1), op.rows.extent(0), op.columns.extent(0)});
}

template <class T>
void execute(Cuda const& cuda, ClassTokenGather<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const width = op.tokens.extent(1);
  bool const packs = cuda::aligned_rows<n>(width, op.tokens.data(), op.rows.data());
  for (auto const& segment : op.layout->segments()) {
    cuda::for_rows<n>(
        cuda, segment.images, width, packs,
        ClassRows<T>{op.tokens.data() + segment.first_row * width,
                     op.rows.data() + segment.first_image * width, width, segment.tokens()});
  }
}

template <class T>
void execute(Cuda const& cuda, ClassTokenScatter<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const width = op.tokens.extent(1);
  bool const packs = cuda::aligned_rows<n>(width, op.tokens.data(), op.rows.data());
  for (auto const& segment : op.layout->segments()) {
    cuda::for_rows<n>(cuda, segment.rows(), width, packs,
                      ScatteredClassRows<T>{op.rows.data() + segment.first_image * width,
                                            op.tokens.data() + segment.first_row * width, width,
                                            segment.tokens()});
  }
}

template void execute(Cuda const&, PositionResample<float> const&);
template void execute(Cuda const&, PositionResample<bfloat16> const&);
template void execute(Cuda const&, ClassTokenGather<float> const&);
template void execute(Cuda const&, ClassTokenGather<bfloat16> const&);
template void execute(Cuda const&, ClassTokenScatter<float> const&);
template void execute(Cuda const&, ClassTokenScatter<bfloat16> const&);

}  // namespace dino
