// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/windows.cuh"

namespace dino {
namespace {

using cuda::Maps;
using cuda::Pixel;

template <class T>
struct LargestOfWindows {
  Maps maps;
  std::int64_t channels;
  T const* x;
  T* y;
  std::uint8_t* argument;  ///< or null

  __device__ Pixel line(std::int64_t row) const {
    return Pixel(row, maps.out_height, maps.out_width);
  }
  template <int N>
  __device__ void at(Pixel const& out, std::int64_t c) const {
    auto const top = out.y * maps.stride - maps.padding;
    auto const left = out.x * maps.stride - maps.padding;
    float best[N] = {};
    cuda::Pack<std::uint8_t, N> place{};
    bool found = false;
    for (int ky = 0; ky < maps.kernel; ++ky) {
      if (top + ky < 0 || top + ky >= maps.height) continue;
      auto const first = (out.image * maps.height + top + ky) * maps.width + left;
      for (int kx = 0; kx < maps.kernel; ++kx) {
        if (left + kx < 0 || left + kx >= maps.width) continue;
        float v[N];
        cuda::load<N>(x + (first + kx) * channels + c, v);
#pragma unroll
        for (int k = 0; k < N; ++k) {
          if (found && !(v[k] > best[k]) && v[k] == v[k]) continue;
          best[k] = v[k];
          place.values[k] = static_cast<std::uint8_t>(ky * maps.kernel + kx);
        }
        found = true;
      }
    }
    auto const to = out.row * channels + c;
    cuda::store<N>(y + to, best);
    if (argument != nullptr) *reinterpret_cast<cuda::Pack<std::uint8_t, N>*>(argument + to) = place;
  }
};

/// Sums over windows in a fixed order.
template <class T>
struct GradientsOfLargest {
  Maps maps;
  std::int64_t channels;
  T const* dy;
  std::uint8_t const* argument;
  T* dx;

  __device__ Pixel line(std::int64_t row) const { return Pixel(row, maps.height, maps.width); }
  template <int N>
  __device__ void at(Pixel const& in, std::int64_t c) const {
    float sum[N] = {};
    cuda::for_windows_with(maps, in, [&](std::int64_t window, int here) {
      float v[N];
      auto const from = window * channels + c;
      cuda::load<N>(dy + from, v);
      auto const place = *reinterpret_cast<cuda::Pack<std::uint8_t, N> const*>(argument + from);
#pragma unroll
      for (int k = 0; k < N; ++k) sum[k] += place.values[k] == here ? v[k] : 0.0F;
    });
    cuda::store<N>(dx + in.row * channels + c, sum);
  }
};

template <class T>
struct Averages {
  std::int64_t pixels, channels;
  T const* x;
  T* y;
  __device__ std::int64_t line(std::int64_t image) const { return image; }
  template <int N>
  __device__ void at(std::int64_t image, std::int64_t c) const {
    float sum[N] = {};
    auto const* const from = x + image * pixels * channels + c;
    for (std::int64_t p = 0; p < pixels; ++p) {
      float v[N];
      cuda::load<N>(from + p * channels, v);
#pragma unroll
      for (int k = 0; k < N; ++k) sum[k] += v[k];
    }
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] /= static_cast<float>(pixels);
    cuda::store<N>(y + image * channels + c, sum);
  }
};

template <class T>
struct SharesOfAverages {
  std::int64_t pixels, channels;
  float share;
  T const* dy;
  T* dx;
  struct Line {
    std::int64_t row, image;
  };
  __device__ Line line(std::int64_t row) const { return {row, row / pixels}; }
  template <int N>
  __device__ void at(Line const& line, std::int64_t c) const {
    float v[N];
    cuda::load<N>(dy + line.image * channels + c, v);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] *= share;
    cuda::store<N>(dx + line.row * channels + c, v);
  }
};

}  // namespace

template <class T>
void execute(Cuda const& cuda, MaxPoolForward<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const channels = op.x.extent(1);
  LargestOfWindows<T> const rows{Maps(op.windows), channels, op.x.data(), op.y.data(),
                                 op.argument.empty() ? nullptr : op.argument.data()};
  cuda::for_rows<n>(cuda, op.y.extent(0), channels,
                    cuda::aligned_rows<n>(channels, rows.x, rows.y, rows.argument), rows);
}

template <class T>
void execute(Cuda const& cuda, MaxPoolBackward<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const channels = op.dx.extent(1);
  GradientsOfLargest<T> const rows{Maps(op.windows), channels, op.dy.data(), op.argument.data(),
                                   op.dx.data()};
  cuda::for_rows<n>(cuda, op.dx.extent(0), channels,
                    cuda::aligned_rows<n>(channels, rows.dy, rows.argument, rows.dx), rows);
}

template <class T>
void execute(Cuda const& cuda, AveragePoolForward<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const channels = op.x.extent(2);
  cuda::for_rows<n>(cuda, op.x.extent(0), channels,
                    cuda::aligned_rows<n>(channels, op.x.data(), op.y.data()),
                    Averages<T>{op.x.extent(1), channels, op.x.data(), op.y.data()});
}

template <class T>
void execute(Cuda const& cuda, AveragePoolBackward<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const pixels = op.dx.extent(1), channels = op.dx.extent(2);
  cuda::for_rows<n>(cuda, op.dx.extent(0) * pixels, channels,
                    cuda::aligned_rows<n>(channels, op.dy.data(), op.dx.data()),
                    SharesOfAverages<T>{pixels, channels, 1.0F / static_cast<float>(pixels),
                                        op.dy.data(), op.dx.data()});
}

template void execute(Cuda const&, MaxPoolForward<float> const&);
template void execute(Cuda const&, MaxPoolForward<bfloat16> const&);
template void execute(Cuda const&, MaxPoolBackward<float> const&);
template void execute(Cuda const&, MaxPoolBackward<bfloat16> const&);
template void execute(Cuda const&, AveragePoolForward<float> const&);
template void execute(Cuda const&, AveragePoolForward<bfloat16> const&);
template void execute(Cuda const&, AveragePoolBackward<float> const&);
template void execute(Cuda const&, AveragePoolBackward<bfloat16> const&);

}  // namespace dino
