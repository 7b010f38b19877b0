// SPDX-License-Identifier: Apache-2.0
#include "kernels/convolution.hpp"

#include "base/error.hpp"
#include "kernels/check.hpp"
#include "kernels/host/convolution_scratch.hpp"

namespace dino {
namespace {

/// Multiplications and additions of one of the three products of a convolution.
double product_flops(Windows const& w, std::int64_t columns, std::int64_t out) {
  return 2.0 * static_cast<double>(w.rows_out()) * static_cast<double>(columns) *
         static_cast<double>(out);
}

}  // namespace

void Windows::check(char const* operation) const {
  require(images >= 0 && kernel >= 1 && stride >= 1 && padding >= 0 && padding < kernel &&
              height + 2 * padding >= kernel && width + 2 * padding >= kernel,
          ExitCode::bug,
          "{}: windows of side {}, stride {} and padding {} do not fit {} x {} pixels", operation,
          kernel, stride, padding, height, width);
}

template <class From, class To>
void SwapAxes<From, To>::check() const {
  require_extents("SwapAxes", "x", x, x.extents());
  require_extents("SwapAxes", "y", y, {x.extent(0), x.extent(2), x.extent(1)});
}

template <class T>
void ConvolutionForward<T>::check() const {
  windows.check("ConvolutionForward");
  auto const in = x.extent(1), out = filters.extent(0);
  require_extents("ConvolutionForward", "x", x, {windows.rows_in(), in});
  require_extents("ConvolutionForward", "filters", filters, {out, windows.area() * in});
  require_extents("ConvolutionForward", "y", y, {windows.rows_out(), out});
}

template <class T>
double ConvolutionForward<T>::matrix_flops() const {
  return product_flops(windows, filters.extent(1), filters.extent(0));
}

template <class T>
void ConvolutionBackwardInput<T>::check() const {
  windows.check("ConvolutionBackwardInput");
  auto const in = dx.extent(1), out = filters.extent(0);
  require_extents("ConvolutionBackwardInput", "dx", dx, {windows.rows_in(), in});
  require_extents("ConvolutionBackwardInput", "filters", filters, {out, windows.area() * in});
  require_extents("ConvolutionBackwardInput", "dy", dy, {windows.rows_out(), out});
}

template <class T>
double ConvolutionBackwardInput<T>::matrix_flops() const {
  return product_flops(windows, filters.extent(1), filters.extent(0));
}

template <class T>
void ConvolutionBackwardFilters<T>::check() const {
  windows.check("ConvolutionBackwardFilters");
  auto const in = x.extent(1), out = dfilters.extent(0);
  require_extents("ConvolutionBackwardFilters", "x", x, {windows.rows_in(), in});
  require_extents("ConvolutionBackwardFilters", "dfilters", dfilters, {out, windows.area() * in});
  require_extents("ConvolutionBackwardFilters", "dy", dy, {windows.rows_out(), out});
}

template <class T>
double ConvolutionBackwardFilters<T>::matrix_flops() const {
  return product_flops(windows, dfilters.extent(1), dfilters.extent(0));
}

template <class T>
void MaxPoolForward<T>::check() const {
  windows.check("MaxPoolForward");
  require(windows.area() <= 255 && 2 * windows.padding <= windows.kernel, ExitCode::bug,
          "MaxPoolForward: windows of {} pixels with padding {} (at most 255, and half a window)",
          windows.area(), windows.padding);
  require_extents("MaxPoolForward", "x", x, {windows.rows_in(), x.extent(1)});
  require_extents("MaxPoolForward", "y", y, {windows.rows_out(), x.extent(1)});
  require_extents_or_none("MaxPoolForward", "argument", argument, y.extents());
}

template <class T>
void MaxPoolBackward<T>::check() const {
  windows.check("MaxPoolBackward");
  require_extents("MaxPoolBackward", "dx", dx, {windows.rows_in(), dx.extent(1)});
  require_extents("MaxPoolBackward", "dy", dy, {windows.rows_out(), dx.extent(1)});
  require_extents("MaxPoolBackward", "argument", argument, dy.extents());
}

template <class T>
void AveragePoolForward<T>::check() const {
  require(x.extent(1) >= 1, ExitCode::bug, "AveragePoolForward: images without pixels");
  require_extents("AveragePoolForward", "x", x, x.extents());
  require_extents("AveragePoolForward", "y", y, {x.extent(0), x.extent(2)});
}

template <class T>
void AveragePoolBackward<T>::check() const {
  require(dx.extent(1) >= 1, ExitCode::bug, "AveragePoolBackward: images without pixels");
  require_extents("AveragePoolBackward", "dx", dx, dx.extents());
  require_extents("AveragePoolBackward", "dy", dy, {dx.extent(0), dx.extent(2)});
}

// See kernels/cuda/convolution_gathered.cu.
template <class T>
std::int64_t convolution_scratch_bytes(Processor processor, Windows const& w, std::int64_t in) {
  if (w.pointwise()) return 0;
  if (processor == Processor::host) return host::convolution_scratch_bytes<T>(w, in);
  return convolution_tile_images<T>(w, in) * w.out_height() * w.out_width() * w.area() * in *
         static_cast<std::int64_t>(sizeof(T));
}

template std::int64_t convolution_scratch_bytes<float>(Processor, Windows const&, std::int64_t);
template std::int64_t convolution_scratch_bytes<bfloat16>(Processor, Windows const&, std::int64_t);

template struct SwapAxes<float, float>;
template struct SwapAxes<float, bfloat16>;
template struct SwapAxes<bfloat16, bfloat16>;
template struct ConvolutionForward<float>;
template struct ConvolutionForward<bfloat16>;
template struct ConvolutionBackwardInput<float>;
template struct ConvolutionBackwardInput<bfloat16>;
template struct ConvolutionBackwardFilters<float>;
template struct ConvolutionBackwardFilters<bfloat16>;
template struct MaxPoolForward<float>;
template struct MaxPoolForward<bfloat16>;
template struct MaxPoolBackward<float>;
template struct MaxPoolBackward<bfloat16>;
template struct AveragePoolForward<float>;
template struct AveragePoolForward<bfloat16>;
template struct AveragePoolBackward<float>;
template struct AveragePoolBackward<bfloat16>;

}  // namespace dino
