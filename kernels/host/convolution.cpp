// SPDX-License-Identifier: Apache-2.0
// Windows are gathered as rows of a matrix, a tile of them at a time, and multiplied.
#include "kernels/convolution.hpp"

#include <algorithm>

#include "kernels/gemm.hpp"
#include "kernels/host/convolution_scratch.hpp"
#include "kernels/host/parallel.hpp"
#include "kernels/host/store.hpp"

namespace dino {
namespace {

/// Rows of a tile: enough for the full rate of a product, few enough to stay in the cache.
constexpr std::int64_t rows_per_tile = 384;

/// A line is a row of output pixels of one image; lines of all images are numbered through.
struct Tiling {
  explicit Tiling(Windows const& w)
      : lines(w.images * w.out_height()),
        lines_per_tile(std::max<std::int64_t>(1, rows_per_tile / w.out_width())),
        images_per_chunk(
            std::max<std::int64_t>(1, rows_per_tile / (w.out_height() * w.out_width()))) {}
  std::int64_t lines, lines_per_tile;
  std::int64_t images_per_chunk;  ///< of which gradients of the input are summed together
};

std::int64_t aligned_bytes(std::int64_t bytes) {
  return (bytes + 63) / 64 * 64;
}

template <class T>
std::int64_t columns_bytes(Windows const& w, std::int64_t in) {
  return aligned_bytes(Tiling(w).lines_per_tile * w.out_width() * w.area() * in *
                       static_cast<std::int64_t>(sizeof(T)));
}

/// Of the pixels `first` to `first + kernel` of a line, those that exist: [begin, end) of the
/// window's columns.
struct Inside {
  Inside(std::int64_t first, std::int64_t kernel, std::int64_t width)
      : begin(std::clamp<std::int64_t>(-first, 0, kernel)),
        end(std::clamp<std::int64_t>(width - first, begin, kernel)) {}
  std::int64_t begin, end;
};

/// The windows of lines [first, last) as rows [k, k, channels] of `columns`.
template <class T>
void gather(Windows const& w, View<T const, 2> x, std::int64_t first, std::int64_t last,
            T* columns) {
  auto const channels = x.extent(1), across = w.out_width(), run = w.kernel * channels;
  host::parallel_rows(last - first, [=](std::int64_t i) {
    auto const image = (first + i) / w.out_height();
    auto const top = (first + i) % w.out_height() * w.stride - w.padding;
    auto* out = columns + i * across * w.kernel * run;
    for (std::int64_t ox = 0; ox < across; ++ox) {
      auto const left = ox * w.stride - w.padding;
      Inside const inside(left, w.kernel, w.width);
      for (std::int64_t ky = 0; ky < w.kernel; ++ky, out += run) {
        auto const y = top + ky;
        if (y < 0 || y >= w.height) {
          std::fill_n(out, run, T{});
          continue;
        }
        auto const* const from = x.row((image * w.height + y) * w.width);
        std::fill_n(out, inside.begin * channels, T{});
        std::copy(from + (left + inside.begin) * channels, from + (left + inside.end) * channels,
                  out + inside.begin * channels);
        std::fill(out + inside.end * channels, out + run, T{});
      }
    }
  });
}

/// Adds rows of `columns`, of the windows of lines [first, last), to the pixels that they were
/// gathered from. A line of pixels is one thread's, so that the order of additions is fixed.
/// \param sums  [pixels, channels] of image `image0` and later ones
template <class T>
void scatter(Windows const& w, std::int64_t channels, std::int64_t first, std::int64_t last,
             T const* columns, std::int64_t image0, float* sums) {
  auto const high = w.out_height(), across = w.out_width(), run = w.kernel * channels;
  auto const top = std::max<std::int64_t>(0, first % high * w.stride - w.padding);
  auto const bottom = std::min(w.height, (last - 1) % high * w.stride - w.padding + w.kernel);
  auto const begin = first / high * w.height + top;
  auto const end = (last - 1) / high * w.height + bottom;
  host::parallel_rows(end - begin, [=](std::int64_t i) {
    auto const image = (begin + i) / w.height, y = (begin + i) % w.height;
    auto* const line = sums + ((image - image0) * w.height + y) * w.width * channels;
    for (std::int64_t ky = 0; ky < w.kernel; ++ky) {
      auto const shifted = y + w.padding - ky;
      if (shifted < 0 || shifted % w.stride != 0 || shifted / w.stride >= high) continue;
      auto const from = image * high + shifted / w.stride;
      if (from < first || from >= last) continue;
      for (std::int64_t ox = 0; ox < across; ++ox) {
        auto const left = ox * w.stride - w.padding;
        Inside const inside(left, w.kernel, w.width);
        auto const* const row = columns + (((from - first) * across + ox) * w.kernel + ky) * run +
                                inside.begin * channels;
        auto* const to = line + (left + inside.begin) * channels;
        auto const count = (inside.end - inside.begin) * channels;
#pragma omp simd
        for (std::int64_t c = 0; c < count; ++c) to[c] += static_cast<float>(row[c]);
      }
    }
  });
}

/// f(first line, last line, the tile's view of `columns`) for consecutive tiles of lines.
template <class T, class F>
void for_tiles(Windows const& w, std::int64_t begin, std::int64_t end, std::int64_t in,
               std::byte* scratch, F const& f) {
  auto const step = Tiling(w).lines_per_tile;
  for (auto first = begin; first < end; first += step) {
    auto const last = std::min(end, first + step);
    f(first, last,
      View<T, 2>{reinterpret_cast<T*>(scratch), {(last - first) * w.out_width(), w.area() * in}});
  }
}

template <class T>
View<T, 2> lines_of(Windows const& w, View<T, 2> rows, std::int64_t first, std::int64_t last) {
  return rows.rows(first * w.out_width(), last * w.out_width());
}

constexpr std::int64_t channel_block = 64;

}  // namespace

template <class From, class To>
void execute(Host const&, SwapAxes<From, To> const& op) {
  auto const a = op.x.extent(1), b = op.x.extent(2);
  constexpr std::int64_t block = 16;  // of both axes: reads and writes share cache lines
  bool const accumulate = op.accumulate;
  host::parallel_rows(op.x.extent(0), [=](std::int64_t n) {
    auto const* const x = op.x.row(n);
    auto* const y = op.y.row(n);
    for (std::int64_t j0 = 0; j0 < b; j0 += block) {
      for (std::int64_t i0 = 0; i0 < a; i0 += block) {
        for (auto j = j0; j < std::min(b, j0 + block); ++j) {
          for (auto i = i0; i < std::min(a, i0 + block); ++i) {
            float const before = accumulate ? static_cast<float>(y[j * a + i]) : 0.0F;
            host::store(y[j * a + i], before + static_cast<float>(x[i * b + j]));
          }
        }
      }
    }
  });
}

template <class T>
std::int64_t host::convolution_scratch_bytes(Windows const& w, std::int64_t in) {
  if constexpr (std::is_same_v<T, float>) return columns_bytes<T>(w, in);
  // Of the backward pass: sums in float32.
  return columns_bytes<T>(w, in) + Tiling(w).images_per_chunk * w.height * w.width * in *
                                       static_cast<std::int64_t>(sizeof(float));
}

template <class T>
void execute(Host const& host, ConvolutionForward<T> const& op) {
  auto const& w = op.windows;
  if (w.pointwise()) {
    return execute(host, LinearForward<T>{.x = op.x, .weight = op.filters, .bias = {}, .y = op.y});
  }
  for_tiles<T>(w, 0, Tiling(w).lines, op.x.extent(1), op.scratch,
               [&](std::int64_t first, std::int64_t last, View<T, 2> columns) {
                 gather(w, op.x, first, last, columns.data());
                 execute(host, LinearForward<T>{.x = columns,
                                                .weight = op.filters,
                                                .bias = {},
                                                .y = lines_of(w, op.y, first, last)});
               });
}

template <class T>
void execute(Host const& host, ConvolutionBackwardInput<T> const& op) {
  auto const& w = op.windows;
  if (w.pointwise()) {
    return execute(host, LinearBackwardInput<T>{.dy = op.dy, .weight = op.filters, .dx = op.dx});
  }
  auto const in = op.dx.extent(1), pixels = w.height * w.width;
  auto const chunk = Tiling(w).images_per_chunk;
  for (std::int64_t image = 0; image < w.images; image += chunk) {
    auto const end = std::min(w.images, image + chunk);
    auto const dx = op.dx.rows(image * pixels, end * pixels);
    float* sums = nullptr;
    if constexpr (std::is_same_v<T, float>) {
      sums = dx.data();
    } else {
      sums = reinterpret_cast<float*>(op.scratch + columns_bytes<T>(w, in));
    }
    std::fill_n(sums, dx.size(), 0.0F);
    for_tiles<T>(w, image * w.out_height(), end * w.out_height(), in, op.scratch,
                 [&](std::int64_t first, std::int64_t last, View<T, 2> columns) {
                   execute(host, LinearBackwardInput<T>{.dy = lines_of(w, op.dy, first, last),
                                                        .weight = op.filters,
                                                        .dx = columns});
                   scatter(w, in, first, last, columns.data(), image, sums);
                 });
    if constexpr (!std::is_same_v<T, float>) {
#pragma omp simd
      for (std::int64_t i = 0; i < dx.size(); ++i) host::store(dx[i], sums[i]);
    }
  }
}

template <class T>
void execute(Host const& host, ConvolutionBackwardFilters<T> const& op) {
  auto const& w = op.windows;
  auto const add = [&](View<T const, 2> x, View<T const, 2> dy) {
    execute(host, LinearBackwardWeight<T>{.x = x, .dy = dy, .dweight = op.dfilters, .dbias = {}});
  };
  if (w.pointwise()) return add(op.x, op.dy);
  for_tiles<T>(w, 0, Tiling(w).lines, op.x.extent(1), op.scratch,
               [&](std::int64_t first, std::int64_t last, View<T, 2> columns) {
                 gather(w, op.x, first, last, columns.data());
                 add(columns, lines_of(w, op.dy, first, last));
               });
}

template <class T>
void execute(Host const&, MaxPoolForward<T> const& op) {
  auto const& w = op.windows;
  auto const channels = op.x.extent(1), across = w.out_width(), per_image = w.out_height() * across;
  bool const keep = !op.argument.empty();
  host::parallel_rows(op.y.extent(0), [=](std::int64_t row) {
    auto const* const image = op.x.row(row / per_image * w.height * w.width);
    auto const top = row % per_image / across * w.stride - w.padding;
    auto const left = row % across * w.stride - w.padding;
    Inside const high(top, w.kernel, w.height), wide(left, w.kernel, w.width);
    for (std::int64_t c0 = 0; c0 < channels; c0 += channel_block) {
      auto const count = std::min(channel_block, channels - c0);
      float best[channel_block];
      std::uint8_t place[channel_block];
      bool found = false;
      for (auto ky = high.begin; ky < high.end; ++ky) {
        for (auto kx = wide.begin; kx < wide.end; ++kx, found = true) {
          auto const* const x = image + ((top + ky) * w.width + left + kx) * channels + c0;
          auto const here = static_cast<std::uint8_t>(ky * w.kernel + kx);
          for (std::int64_t c = 0; c < count; ++c) {
            float const v = static_cast<float>(x[c]);
            bool const larger = !found || v > best[c] || v != v;
            best[c] = larger ? v : best[c];
            place[c] = larger ? here : place[c];
          }
        }
      }
      for (std::int64_t c = 0; c < count; ++c) host::store(op.y.row(row)[c0 + c], best[c]);
      if (keep) std::copy_n(place, count, op.argument.row(row) + c0);
    }
  });
}

template <class T>
void execute(Host const&, MaxPoolBackward<T> const& op) {
  auto const& w = op.windows;
  auto const channels = op.dx.extent(1), high = w.out_height(), across = w.out_width();
  host::parallel_rows(op.dx.extent(0), [=](std::int64_t pixel) {
    auto const image = pixel / (w.height * w.width);
    auto const y = pixel / w.width % w.height + w.padding, x = pixel % w.width + w.padding;
    for (std::int64_t c0 = 0; c0 < channels; c0 += channel_block) {
      auto const count = std::min(channel_block, channels - c0);
      float sum[channel_block] = {};
      for (std::int64_t ky = 0; ky < w.kernel; ++ky) {
        auto const oy = (y - ky) / w.stride;
        if (y < ky || (y - ky) % w.stride != 0 || oy >= high) continue;
        for (std::int64_t kx = 0; kx < w.kernel; ++kx) {
          auto const ox = (x - kx) / w.stride;
          if (x < kx || (x - kx) % w.stride != 0 || ox >= across) continue;
          auto const row = (image * high + oy) * across + ox;
          auto const* const dy = op.dy.row(row) + c0;
          auto const* const place = op.argument.row(row) + c0;
          auto const here = static_cast<std::uint8_t>(ky * w.kernel + kx);
          for (std::int64_t c = 0; c < count; ++c)
            sum[c] += place[c] == here ? static_cast<float>(dy[c]) : 0.0F;
        }
      }
      for (std::int64_t c = 0; c < count; ++c) host::store(op.dx.row(pixel)[c0 + c], sum[c]);
    }
  });
}

template <class T>
void execute(Host const&, AveragePoolForward<T> const& op) {
  auto const pixels = op.x.extent(1), channels = op.x.extent(2);
  host::parallel_rows(op.x.extent(0), [=](std::int64_t image) {
    for (std::int64_t c0 = 0; c0 < channels; c0 += channel_block) {
      auto const count = std::min(channel_block, channels - c0);
      float sum[channel_block] = {};
      for (std::int64_t p = 0; p < pixels; ++p) {
        auto const* const x = op.x.row(image) + p * channels + c0;
#pragma omp simd
        for (std::int64_t c = 0; c < count; ++c) sum[c] += static_cast<float>(x[c]);
      }
      for (std::int64_t c = 0; c < count; ++c)
        host::store(op.y.row(image)[c0 + c], sum[c] / static_cast<float>(pixels));
    }
  });
}

template <class T>
void execute(Host const&, AveragePoolBackward<T> const& op) {
  auto const pixels = op.dx.extent(1), channels = op.dx.extent(2);
  auto const share = 1.0F / static_cast<float>(pixels);
  host::parallel_rows(op.dx.extent(0) * pixels, [=](std::int64_t row) {
    auto const* const dy = op.dy.row(row / pixels);
    auto* const dx = op.dx.data() + row * channels;
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c)
      host::store(dx[c], share * static_cast<float>(dy[c]));
  });
}

template void execute(Host const&, SwapAxes<float, float> const&);
template void execute(Host const&, SwapAxes<float, bfloat16> const&);
template void execute(Host const&, SwapAxes<bfloat16, bfloat16> const&);
template std::int64_t host::convolution_scratch_bytes<float>(Windows const&, std::int64_t);
template std::int64_t host::convolution_scratch_bytes<bfloat16>(Windows const&, std::int64_t);
template void execute(Host const&, ConvolutionForward<float> const&);
template void execute(Host const&, ConvolutionForward<bfloat16> const&);
template void execute(Host const&, ConvolutionBackwardInput<float> const&);
template void execute(Host const&, ConvolutionBackwardInput<bfloat16> const&);
template void execute(Host const&, ConvolutionBackwardFilters<float> const&);
template void execute(Host const&, ConvolutionBackwardFilters<bfloat16> const&);
template void execute(Host const&, MaxPoolForward<float> const&);
template void execute(Host const&, MaxPoolForward<bfloat16> const&);
template void execute(Host const&, MaxPoolBackward<float> const&);
template void execute(Host const&, MaxPoolBackward<bfloat16> const&);
template void execute(Host const&, AveragePoolForward<float> const&);
template void execute(Host const&, AveragePoolForward<bfloat16> const&);
template void execute(Host const&, AveragePoolBackward<float> const&);
template void execute(Host const&, AveragePoolBackward<bfloat16> const&);

}  // namespace dino
