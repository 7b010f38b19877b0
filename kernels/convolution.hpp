// SPDX-License-Identifier: Apache-2.0
// Convolutions and pooling over feature maps that lie channels last, as the rows of a matrix:
// [images * height * width, channels]. A 1 x 1 convolution is then a linear layer.
#pragma once
#include <algorithm>
#include <compare>

#include "kernels/space.hpp"

namespace dino {

/// Windows that slide over maps of one size, zeros beyond their borders.
struct Windows {
  std::int64_t images = 0, height = 0, width = 0;  ///< of the input
  std::int64_t kernel = 1;                         ///< side of a window, pixels
  std::int64_t stride = 1;
  std::int64_t padding = 0;  ///< on each side, < kernel

  constexpr std::int64_t out_height() const { return (height + 2 * padding - kernel) / stride + 1; }
  constexpr std::int64_t out_width() const { return (width + 2 * padding - kernel) / stride + 1; }
  std::int64_t rows_in() const { return images * height * width; }
  std::int64_t rows_out() const { return images * out_height() * out_width(); }
  constexpr std::int64_t area() const { return kernel * kernel; }
  /// Each window is one pixel, and every pixel has one: input and output rows are the same.
  constexpr bool pointwise() const { return kernel == 1 && stride == 1 && padding == 0; }
  auto operator<=>(Windows const&) const = default;
  /// \throws Error (a bug) naming the operation unless there is a window in each image
  void check(char const* operation) const;
};

/// y[n, j, i] = x[n, i, j], converted; or y +=. It brings images [n, channels, pixels] and
/// published filters [out, in, k k] to channels last, and gradients of filters back.
template <class From, class To>
struct SwapAxes {
  View<From const, 3> x;  ///< [n, a, b]
  View<To, 3> y;          ///< [n, b, a], must not alias x
  bool accumulate = false;
  void check() const;
};

/// y = the convolution of x with the filters, without bias, in T with float32 accumulation.
/// Source: method.md 1.10; the definition is PyTorch's Conv2d (a cross-correlation).
template <class T>
struct ConvolutionForward {
  Windows windows;
  View<T const, 2> x;            ///< [rows_in, in]
  View<T const, 2> filters;      ///< [out, k k in]: channels last, within [k, k] row by row
  View<T, 2> y;                  ///< [rows_out, out]
  std::byte* scratch = nullptr;  ///< convolution_scratch_bytes(...) bytes of the space
  void check() const;
  double matrix_flops() const;
};

/// dx from dy.
template <class T>
struct ConvolutionBackwardInput {
  Windows windows;
  View<T const, 2> dy;       ///< [rows_out, out]
  View<T const, 2> filters;  ///< [out, k k in]
  View<T, 2> dx;             ///< [rows_in, in], overwritten
  std::byte* scratch = nullptr;
  void check() const;
  double matrix_flops() const;
};

/// dfilters += the gradient, in float32.
template <class T>
struct ConvolutionBackwardFilters {
  Windows windows;
  View<T const, 2> x;       ///< [rows_in, in]
  View<T const, 2> dy;      ///< [rows_out, out]
  View<float, 2> dfilters;  ///< [out, k k in], added to
  std::byte* scratch = nullptr;
  void check() const;
  double matrix_flops() const;
};

/// Scratch that each of the three needs for inputs of `in` channels, in bytes.
template <class T>
std::int64_t convolution_scratch_bytes(Processor processor, Windows const& windows,
                                       std::int64_t in);

/// Images whose windows lie in the scratch of a device at the same time, at least one.
template <class T>
constexpr std::int64_t convolution_tile_images(Windows const& windows, std::int64_t in) {
  constexpr std::int64_t tile_bytes = std::int64_t{64} << 20;
  auto const image = windows.out_height() * windows.out_width() * windows.area() * in;
  auto const fit = tile_bytes / (image * static_cast<std::int64_t>(sizeof(T)));
  return std::max<std::int64_t>(1, std::min(windows.images, fit));
}

/// y = the largest value of each window (padding never counts), and its place, the first of equal
/// ones. NaN counts as the largest. Windows hold at most 255 pixels.
template <class T>
struct MaxPoolForward {
  Windows windows;
  View<T const, 2> x;              ///< [rows_in, C]
  View<T, 2> y;                    ///< [rows_out, C]
  View<std::uint8_t, 2> argument;  ///< [rows_out, C], place in the window; or empty: not kept
  void check() const;
};

/// dx = the sum of dy over the windows in which the pixel was the largest.
template <class T>
struct MaxPoolBackward {
  Windows windows;
  View<T const, 2> dy;                   ///< [rows_out, C]
  View<std::uint8_t const, 2> argument;  ///< [rows_out, C]
  View<T, 2> dx;                         ///< [rows_in, C], overwritten
  void check() const;
};

/// y = the mean over all pixels of each image.
template <class T>
struct AveragePoolForward {
  View<T const, 3> x;  ///< [images, pixels, C], pixels >= 1
  View<T, 2> y;        ///< [images, C]
  void check() const;
};

/// dx = dy / pixels at every pixel.
template <class T>
struct AveragePoolBackward {
  View<T const, 2> dy;  ///< [images, C]
  View<T, 3> dx;        ///< [images, pixels, C], overwritten
  void check() const;
};

template <class From, class To>
void execute(Host const& host, SwapAxes<From, To> const& op);
template <class From, class To>
void execute(Cuda const& cuda, SwapAxes<From, To> const& op);
template <class T>
void execute(Host const& host, ConvolutionForward<T> const& op);
template <class T>
void execute(Cuda const& cuda, ConvolutionForward<T> const& op);
template <class T>
void execute(Host const& host, ConvolutionBackwardInput<T> const& op);
template <class T>
void execute(Cuda const& cuda, ConvolutionBackwardInput<T> const& op);
template <class T>
void execute(Host const& host, ConvolutionBackwardFilters<T> const& op);
template <class T>
void execute(Cuda const& cuda, ConvolutionBackwardFilters<T> const& op);
template <class T>
void execute(Host const& host, MaxPoolForward<T> const& op);
template <class T>
void execute(Cuda const& cuda, MaxPoolForward<T> const& op);
template <class T>
void execute(Host const& host, MaxPoolBackward<T> const& op);
template <class T>
void execute(Cuda const& cuda, MaxPoolBackward<T> const& op);
template <class T>
void execute(Host const& host, AveragePoolForward<T> const& op);
template <class T>
void execute(Cuda const& cuda, AveragePoolForward<T> const& op);
template <class T>
void execute(Host const& host, AveragePoolBackward<T> const& op);
template <class T>
void execute(Cuda const& cuda, AveragePoolBackward<T> const& op);

}  // namespace dino
