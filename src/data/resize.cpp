// SPDX-License-Identifier: Apache-2.0
#include "data/resize.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/error.hpp"
#include "data/lanes.hpp"
#include "kernels/pixels.hpp"

namespace dino {
namespace {

using pixel::fixed_byte, pixel::fixed_half;

/// Unnormalised weights.
template <class Kernel>
inline void sample_kernel(Kernel kernel, pixel::Taps const& taps, double* weights) {
  for (int k = 0; k < taps.count; ++k) weights[k] = kernel(taps.place(k));
}

/// out[x] = the sum over k of weights[k] * rows[k * stride + x] in fixed point, rounded and clipped
/// to 8 bits. The number of taps is known when compiling, so that all sums of a vector of x stay in
/// registers.
template <std::size_t... k>
void weigh(std::uint8_t const* __restrict rows, std::ptrdiff_t stride, std::int32_t const* weights,
           std::uint8_t* __restrict out, std::ptrdiff_t n, std::index_sequence<k...>) {
  std::int32_t const w[] = {weights[k]...};
  for (std::ptrdiff_t x = 0; x < n; ++x) {
    std::int32_t sum = fixed_half;
    ((sum += w[k] * rows[static_cast<std::ptrdiff_t>(k) * stride + x]), ...);
    out[x] = fixed_byte(sum);
  }
}

/// The same for any number of taps.
void weigh_many(std::uint8_t const* __restrict rows, std::ptrdiff_t stride,
                std::int32_t const* weights, int count, std::uint8_t* __restrict out,
                std::ptrdiff_t n) {
  constexpr std::ptrdiff_t chunk = 256;
  std::int32_t sums[chunk];
  for (std::ptrdiff_t begin = 0; begin < n; begin += chunk) {
    std::ptrdiff_t const size = std::min(chunk, n - begin);
    std::fill_n(sums, size, fixed_half);
    for (int k = 0; k < count; ++k) {
      std::uint8_t const* const row = rows + k * stride + begin;
      std::int32_t const weight = weights[k];
      for (std::ptrdiff_t x = 0; x < size; ++x) sums[x] += weight * row[x];
    }
    for (std::ptrdiff_t x = 0; x < size; ++x) out[begin + x] = fixed_byte(sums[x]);
  }
}

using Weigh = void (*)(std::uint8_t const*, std::ptrdiff_t, std::int32_t const*, std::uint8_t*,
                       std::ptrdiff_t);

template <std::size_t count>
void weigh_fixed(std::uint8_t const* rows, std::ptrdiff_t stride, std::int32_t const* weights,
                 std::uint8_t* out, std::ptrdiff_t n) {
  weigh(rows, stride, weights, out, n, std::make_index_sequence<count>{});
}

template <std::size_t... count>
constexpr std::array<Weigh, sizeof...(count)> weigh_table(std::index_sequence<count...>) {
  return {weigh_fixed<count + 1>...};
}
constexpr auto weigh_functions = weigh_table(std::make_index_sequence<16>{});

void weigh_rows(std::uint8_t const* rows, std::ptrdiff_t stride, std::int32_t const* weights,
                int count, std::uint8_t* out, std::ptrdiff_t n) {
  auto const index = static_cast<std::size_t>(count - 1);
  if (index < weigh_functions.size()) return weigh_functions[index](rows, stride, weights, out, n);
  weigh_many(rows, stride, weights, count, out, n);
}

/// out[c, r] = in[r, c] for a [rows, columns] matrix of bytes.
void transpose(std::uint8_t const* in, std::ptrdiff_t in_stride, int rows, int columns,
               std::uint8_t* out, std::ptrdiff_t out_stride) {
  if (rows < 16 || columns < 16) {
    for (int r = 0; r < rows; ++r) {
      for (int c = 0; c < columns; ++c) out[c * out_stride + r] = in[r * in_stride + c];
    }
    return;
  }
  // The last block of a row or column of blocks overlaps the one before instead of reaching
  // outside.
  for (int r = 0; r < rows; r += 16) {
    int const row = std::min(r, rows - 16);
    for (int c = 0; c < columns; c += 16) {
      int const column = std::min(c, columns - 16);
      lanes::transpose16(in + row * in_stride + column, in_stride, out + column * out_stride + row,
                         out_stride);
    }
  }
}

void grow(std::vector<std::uint8_t>& bytes, std::ptrdiff_t size) {
  if (std::ssize(bytes) < size) bytes.resize(static_cast<std::size_t>(size));
}

/// Horizontal passes work on whole vectors of this many rows; memory is padded for what they touch
/// beyond the last one.
constexpr int row_vector = 32;
int padded(int rows) {
  return (rows + row_vector - 1) / row_vector * row_vector;
}

/// An odd multiple of 64 bytes that holds `n` rows, padded: strides of a power of two fight for
/// cache lines.
std::ptrdiff_t row_stride(int n) {
  return (n + row_vector + 127) / 128 * 128 + 64;
}

}  // namespace

void ResizeTaps::compute(int n_in, int n_out, int first_output, int outputs,
                         Interpolation interpolation) {
  bool const bicubic = interpolation == Interpolation::bicubic;
  double const support = bicubic ? 2.0 : 1.0;
  stride_ = pixel::most_taps(n_in, n_out, support);
  auto const size = static_cast<std::size_t>(outputs);
  first_.resize(size);
  count_.resize(size);
  exact_.resize(size * static_cast<std::size_t>(stride_));
  fixed_.resize(size * static_cast<std::size_t>(stride_));
  for (int i = 0; i < outputs; ++i) {
    auto const taps = pixel::taps_of(n_in, n_out, first_output + i, support);
    double* const weights = exact_.data() + i * stride_;
    if (bicubic) {
      sample_kernel(pixel::bicubic_kernel, taps, weights);
    } else {
      sample_kernel(pixel::bilinear_kernel, taps, weights);
    }
    double sum = 0;
    for (int k = 0; k < taps.count; ++k) sum += weights[k];
    std::int32_t* const fixed = fixed_.data() + i * stride_;
    for (int k = 0; k < taps.count; ++k) {
      weights[k] /= sum;
      fixed[k] = pixel::fixed_weight(weights[k]);
    }
    first_[static_cast<std::size_t>(i)] = taps.first;
    count_[static_cast<std::size_t>(i)] = taps.count;
  }
}

void Columns::assign(RgbView image) {
  width_ = image.width;
  height_ = image.height;
  stride_ = row_stride(image.height);
  grow(bytes_, stride_ * width_ * 3 + row_vector);
  transpose(image.pixels, std::ptrdiff_t{width_} * 3, height_, width_ * 3, bytes_.data(), stride_);
}

void Columns::assign(Planes const& picture) {
  width_ = picture.width();
  height_ = picture.height();
  stride_ = row_stride(height_);
  grow(bytes_, stride_ * width_ * 3 + row_vector);
  for (int c = 0; c < 3; ++c)
    transpose(picture.plane(c), width_, height_, width_, bytes_.data() + c * stride_, 3 * stride_);
}

void Resizer::resize(Columns const& source, CropBox box, Extents extents, CropBox window,
                     Interpolation interpolation, Flip flip, Planes& out) {
  horizontal_.compute(box.width, extents.width, window.left, window.width, interpolation);
  vertical_.compute(box.height, extents.height, window.top, window.height, interpolation);
  int const first_row = vertical_.first(0);
  int const rows =
      vertical_.first(window.height - 1) + vertical_.count(window.height - 1) - first_row;
  int const width = window.width;
  int const row_bytes = 3 * width;
  std::ptrdiff_t const column_stride = row_stride(rows);
  grow(narrow_columns_, column_stride * row_bytes);
  grow(narrow_rows_, std::ptrdiff_t{row_bytes} * rows);
  for (int i = 0; i < width; ++i) {
    int const target = flip == Flip::yes ? width - 1 - i : i;
    for (int c = 0; c < 3; ++c) {
      weigh_rows(source.column(box.left + horizontal_.first(i), c) + box.top + first_row,
                 3 * source.stride(), horizontal_.fixed(i), horizontal_.count(i),
                 narrow_columns_.data() + (std::ptrdiff_t{c} * width + target) * column_stride,
                 padded(rows));
    }
  }
  transpose(narrow_columns_.data(), column_stride, row_bytes, rows, narrow_rows_.data(), row_bytes);
  out.reshape(window.height, width);
  for (int i = 0; i < window.height; ++i) {
    std::uint8_t const* const taps =
        narrow_rows_.data() + std::ptrdiff_t{vertical_.first(i) - first_row} * row_bytes;
    for (int c = 0; c < 3; ++c) {
      weigh_rows(taps + std::ptrdiff_t{c} * width, row_bytes, vertical_.fixed(i),
                 vertical_.count(i), out.plane(c) + std::ptrdiff_t{i} * width, width);
    }
  }
}

Extents resized_extents(int height, int width, int shorter) {
  auto const longer = [&](int large, int small) {
    return static_cast<int>(static_cast<double>(std::int64_t{shorter} * large) / small);
  };
  return height <= width ? Extents{shorter, longer(width, height)}
                         : Extents{longer(height, width), shorter};
}

CropBox center_box(Extents extents, int side) {
  require(side >= 1 && side <= extents.height && side <= extents.width, ExitCode::usage,
          "a centre crop of {} pixels does not fit into {} x {} pixels. Make the crop smaller or "
          "the resized picture "
          "larger",
          side, extents.width, extents.height);
  auto const offset = [&](int length) {
    return static_cast<int>(std::nearbyint((length - side) / 2.0));
  };
  return {
      .top = offset(extents.height), .left = offset(extents.width), .height = side, .width = side};
}

std::vector<float> resize_float(std::span<float const> x, int planes, int n_in, int n_out,
                                Interpolation interpolation) {
  ResizeTaps taps;
  taps.compute(n_in, n_out, 0, n_out, interpolation);
  auto const at = [](int plane, int row, int column, int rows, int columns) {
    return (static_cast<std::size_t>(plane) * static_cast<std::size_t>(rows) +
            static_cast<std::size_t>(row)) *
               static_cast<std::size_t>(columns) +
           static_cast<std::size_t>(column);
  };
  std::vector<double> narrow(at(planes, 0, 0, n_in, n_out));
  std::vector<float> out(at(planes, 0, 0, n_out, n_out));
  for (int p = 0; p < planes; ++p) {
    for (int y = 0; y < n_in; ++y) {
      for (int i = 0; i < n_out; ++i) {
        double sum = 0;
        for (int k = 0; k < taps.count(i); ++k) {
          sum +=
              taps.weights(i)[k] * static_cast<double>(x[at(p, y, taps.first(i) + k, n_in, n_in)]);
        }
        narrow[at(p, y, i, n_in, n_out)] = sum;
      }
    }
    for (int i = 0; i < n_out; ++i) {
      for (int column = 0; column < n_out; ++column) {
        double sum = 0;
        for (int k = 0; k < taps.count(i); ++k) {
          sum += taps.weights(i)[k] * narrow[at(p, taps.first(i) + k, column, n_in, n_out)];
        }
        out[at(p, i, column, n_out, n_out)] = static_cast<float>(sum);
      }
    }
  }
  return out;
}

}  // namespace dino
