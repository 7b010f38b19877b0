// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/resample.cuh"
#include "kernels/resample.hpp"

namespace dino {
namespace {

template <class T>
struct ResampledCells {
  T const* x;
  float const *rows, *columns;  ///< [h, H], [w, W]
  float* y;
  std::int64_t height, width, out_height, out_width, dim;

  struct Line {
    T const* grid;
    float const *a, *b;
    float* out;
  };
  __device__ Line line(std::int64_t cell) const {
    auto const grid = cell / (out_height * out_width);
    return {x + grid * height * width * dim, rows + cell / out_width % out_height * height,
            columns + cell % out_width * width, y + cell * dim};
  }
  template <int N>
  __device__ void at(Line const& line, std::int64_t d) const {
    float v[N];
    cuda::weighted_cells<N>(line.grid + d, dim, line.a, height, line.b, width, v);
    cuda::store<N>(line.out + d, v);
  }
};

}  // namespace

template <class T>
void execute(Cuda const& cuda, GridResample<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const dim = op.x.extent(1);
  cuda::for_rows<n>(cuda, op.y.extent(0), dim, cuda::aligned_rows<n>(dim, op.x.data(), op.y.data()),
                    ResampledCells<T>{op.x.data(), op.rows.data(), op.columns.data(), op.y.data(),
                                      op.rows.extent(1), op.columns.extent(1), op.rows.extent(0),
                                      op.columns.extent(0), dim});
}

template void execute(Cuda const&, GridResample<float> const&);
template void execute(Cuda const&, GridResample<bfloat16> const&);

}  // namespace dino
