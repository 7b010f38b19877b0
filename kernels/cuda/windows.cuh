// SPDX-License-Identifier: Apache-2.0
// Windows over maps, as kernels see them.
#pragma once
#include "kernels/convolution.hpp"
#include "kernels/cuda/launch.cuh"

namespace dino::cuda {

/// What kernels need of `Windows`; sides of maps fit into 32 bits, numbers of rows need not.
struct Maps {
  explicit Maps(Windows const& w)
      : height(static_cast<int>(w.height)),
        width(static_cast<int>(w.width)),
        out_height(static_cast<int>(w.out_height())),
        out_width(static_cast<int>(w.out_width())),
        kernel(static_cast<int>(w.kernel)),
        stride(static_cast<int>(w.stride)),
        padding(static_cast<int>(w.padding)) {}
  int height, width, out_height, out_width, kernel, stride, padding;
};

/// The pixel of a row, of maps of this size.
struct Pixel {
  __device__ Pixel(std::int64_t row_, int height, int width) : row(row_) {
    auto const line = row / width;
    image = line / height;
    x = static_cast<int>(row - line * width);
    y = static_cast<int>(line - image * height);
  }
  std::int64_t row, image;
  int y, x;
};

/// f(row of a window, place in it) for the windows in which an input pixel lies, in a fixed order.
template <class F>
__device__ inline void for_windows_with(Maps const& maps, Pixel const& pixel, F const& f) {
  auto const y = pixel.y + maps.padding, x = pixel.x + maps.padding;
  for (int ky = y % maps.stride; ky < maps.kernel && ky <= y; ky += maps.stride) {
    auto const out_y = (y - ky) / maps.stride;
    if (out_y >= maps.out_height) continue;
    auto const first = (pixel.image * maps.out_height + out_y) * maps.out_width;
    for (int kx = x % maps.stride; kx < maps.kernel && kx <= x; kx += maps.stride) {
      auto const out_x = (x - kx) / maps.stride;
      if (out_x < maps.out_width) f(first + out_x, ky * maps.kernel + kx);
    }
  }
}

}  // namespace dino::cuda
