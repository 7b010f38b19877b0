// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/convolution_gathered.hpp"
#include "kernels/cuda/windows.cuh"
#include "kernels/gemm.hpp"

namespace dino::cuda {
namespace {

/// columns [windows, k k channels] = the pixels of each window, zeros beyond the borders.
template <class T>
struct GatherWindows {
  Maps maps;
  int channels;
  T const* x;
  T* columns;

  __device__ Pixel line(std::int64_t row) const {
    return Pixel(row, maps.out_height, maps.out_width);
  }
  template <int N>
  __device__ void at(Pixel const& window, std::int64_t d) const {
    auto const place = static_cast<int>(d) / channels, c = static_cast<int>(d) - place * channels;
    auto const ky = place / maps.kernel, kx = place - ky * maps.kernel;
    auto const py = window.y * maps.stride - maps.padding + ky;
    auto const px = window.x * maps.stride - maps.padding + kx;
    auto* const to = columns + window.row * maps.kernel * maps.kernel * channels + d;
    if (py < 0 || py >= maps.height || px < 0 || px >= maps.width) {
      float const zeros[N] = {};
      store<N>(to, zeros);
    } else {
      auto const from = (window.image * maps.height + py) * maps.width + px;
      copy<N>(x + from * channels + c, to);
    }
  }
};

/// x = the sums over the windows that a pixel lies in.
template <class T>
struct SumWindows {
  Maps maps;
  int channels;
  T const* columns;
  T* x;

  __device__ Pixel line(std::int64_t row) const { return Pixel(row, maps.height, maps.width); }
  template <int N>
  __device__ void at(Pixel const& pixel, std::int64_t c) const {
    float sum[N] = {};
    for_windows_with(maps, pixel, [&](std::int64_t window, int place) {
      float v[N];
      load<N>(columns + (window * maps.kernel * maps.kernel + place) * channels + c, v);
#pragma unroll
      for (int k = 0; k < N; ++k) sum[k] += v[k];
    });
    store<N>(x + pixel.row * channels + c, sum);
  }
};

template <class T>
View<T, 2> gather(Cuda const& cuda, Windows const& tile, View<T const, 2> x, std::byte* scratch) {
  constexpr int n = pack_size<T>;
  auto const channels = x.extent(1), width = tile.area() * channels;
  auto* const columns = reinterpret_cast<T*>(scratch);
  for_rows<n>(cuda, tile.rows_out(), width, aligned_rows<n>(channels, x.data(), columns),
              GatherWindows<T>{Maps(tile), static_cast<int>(channels), x.data(), columns});
  return {columns, {tile.rows_out(), width}};
}

template <class T>
void sum_windows(Cuda const& cuda, Windows const& tile, View<T const, 2> columns, View<T, 2> x) {
  constexpr int n = pack_size<T>;
  auto const channels = x.extent(1);
  for_rows<n>(cuda, tile.rows_in(), channels, aligned_rows<n>(channels, columns.data(), x.data()),
              SumWindows<T>{Maps(tile), static_cast<int>(channels), columns.data(), x.data()});
}

/// f(windows of a tile, its first image) for consecutive tiles.
template <class T, class F>
void for_tiles(Windows const& w, std::int64_t in, F const& f) {
  auto const step = convolution_tile_images<T>(w, in);
  for (std::int64_t first = 0; first < w.images; first += step) {
    auto tile = w;
    tile.images = std::min(step, w.images - first);
    f(tile, first);
  }
}

template <class T>
View<T, 2> rows_in(Windows const& tile, std::int64_t first, View<T, 2> rows) {
  auto const pixels = tile.height * tile.width;
  return rows.rows(first * pixels, (first + tile.images) * pixels);
}
template <class T>
View<T, 2> rows_out(Windows const& tile, std::int64_t first, View<T, 2> rows) {
  auto const windows = tile.out_height() * tile.out_width();
  return rows.rows(first * windows, (first + tile.images) * windows);
}

}  // namespace

template <class T>
void convolution_gathered(Cuda const& cuda, ConvolutionForward<T> const& op) {
  for_tiles<T>(op.windows, op.x.extent(1), [&](Windows const& tile, std::int64_t first) {
    execute(cuda,
            LinearForward<T>{.x = gather<T>(cuda, tile, rows_in(tile, first, op.x), op.scratch),
                             .weight = op.filters,
                             .bias = {},
                             .y = rows_out(tile, first, op.y)});
  });
}

template <class T>
void convolution_gathered(Cuda const& cuda, ConvolutionBackwardInput<T> const& op) {
  auto const in = op.dx.extent(1), width = op.windows.area() * in;
  for_tiles<T>(op.windows, in, [&](Windows const& tile, std::int64_t first) {
    View<T, 2> const columns{reinterpret_cast<T*>(op.scratch), {tile.rows_out(), width}};
    execute(cuda, LinearBackwardInput<T>{
                      .dy = rows_out(tile, first, op.dy), .weight = op.filters, .dx = columns});
    sum_windows<T>(cuda, tile, columns, rows_in(tile, first, op.dx));
  });
}

template <class T>
void convolution_gathered(Cuda const& cuda, ConvolutionBackwardFilters<T> const& op) {
  for_tiles<T>(op.windows, op.x.extent(1), [&](Windows const& tile, std::int64_t first) {
    execute(cuda, LinearBackwardWeight<T>{
                      .x = gather<T>(cuda, tile, rows_in(tile, first, op.x), op.scratch),
                      .dy = rows_out(tile, first, op.dy),
                      .dweight = op.dfilters,
                      .dbias = {}});
  });
}

template void convolution_gathered(Cuda const&, ConvolutionForward<float> const&);
template void convolution_gathered(Cuda const&, ConvolutionForward<bfloat16> const&);
template void convolution_gathered(Cuda const&, ConvolutionBackwardInput<float> const&);
template void convolution_gathered(Cuda const&, ConvolutionBackwardInput<bfloat16> const&);
template void convolution_gathered(Cuda const&, ConvolutionBackwardFilters<float> const&);
template void convolution_gathered(Cuda const&, ConvolutionBackwardFilters<bfloat16> const&);

}  // namespace dino::cuda
