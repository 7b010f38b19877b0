// SPDX-License-Identifier: Apache-2.0
// Compiled with -ffp-contract=off: fused multiply-adds would change bytes.
#include "data/blur.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "kernels/pixels.hpp"

namespace dino {
namespace {

using Byte = std::uint8_t;
using pixel::Box;

/// out[i] = the box over in[i + k * step], |k| <= radius + 1, for a radius known when compiling.
template <int radius>
void box_direct(Byte const* __restrict in, std::ptrdiff_t n, Box box, Byte* __restrict out) {
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    std::uint16_t inner = 0;  // 16 bits hold these sums, and twice as many of them fit a vector
    for (int k = -radius; k <= radius; ++k) inner = static_cast<std::uint16_t>(inner + in[i + k]);
    auto const edge = static_cast<std::uint16_t>(in[i - radius - 1] + in[i + radius + 1]);
    out[i] = pixel::boxed(box, inner, edge);
  }
}

void box_running(Byte const* in, std::ptrdiff_t n, Box box, Byte* out) {
  int const r = box.radius;
  std::uint32_t inner = 0;
  for (int k = -r - 1; k < r; ++k) inner += in[k];
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    inner += in[i + r];
    inner -= in[i - r - 1];
    std::uint32_t const edge = std::uint32_t{in[i - r - 1]} + in[i + r + 1];
    out[i] = pixel::boxed(box, inner, edge);
  }
}

/// in has radius + 1 readable bytes before and after its n.
void box_row(Byte const* in, std::ptrdiff_t n, Box box, Byte* out) {
  switch (box.radius) {
    case 0:
      return box_direct<0>(in, n, box, out);
    case 1:
      return box_direct<1>(in, n, box, out);
    default:
      return box_running(in, n, box, out);
  }
}

void replicate_edges(Byte* row, std::ptrdiff_t n, int margin) {
  std::memset(row - margin, row[0], static_cast<std::size_t>(margin));
  std::memset(row + n, row[n - 1], static_cast<std::size_t>(margin));
}

/// Three passes along each row of a plane, in place; scratch holds two rows with margins.
void box_rows(Byte* plane, int height, int width, Box box, std::vector<Byte>& scratch) {
  int const margin = box.radius + 1;
  std::ptrdiff_t const stride = width + 2 * std::ptrdiff_t{margin};
  scratch.resize(static_cast<std::size_t>(2 * stride));
  Byte* const a = scratch.data() + margin;
  Byte* const b = a + stride;
  for (int y = 0; y < height; ++y) {
    Byte* const row = plane + std::ptrdiff_t{y} * width;
    std::memcpy(a, row, static_cast<std::size_t>(width));
    replicate_edges(a, width, margin);
    box_row(a, width, box, b);
    replicate_edges(b, width, margin);
    box_row(b, width, box, a);
    replicate_edges(a, width, margin);
    box_row(a, width, box, row);
  }
}

template <int radius>
void box_column_direct(Byte const* const* rows, int width, Box box, Byte* __restrict out) {
  for (int x = 0; x < width; ++x) {
    std::uint16_t inner = 0;
    for (int k = 1; k <= 2 * radius + 1; ++k)
      inner = static_cast<std::uint16_t>(inner + rows[k][x]);
    auto const edge = static_cast<std::uint16_t>(rows[0][x] + rows[2 * radius + 2][x]);
    out[x] = pixel::boxed(box, inner, edge);
  }
}

/// One pass down the columns of a plane.
void box_columns(Byte const* in, int height, int width, Box box, Byte* out) {
  int const margin = box.radius + 1;
  auto const row = [&](int y) { return in + std::ptrdiff_t{std::clamp(y, 0, height - 1)} * width; };
  if (box.radius <= 1) {
    for (int y = 0; y < height; ++y) {
      Byte const* rows[5];
      for (int k = 0; k <= 2 * margin; ++k) rows[k] = row(y - margin + k);
      if (box.radius == 0) box_column_direct<0>(rows, width, box, out + std::ptrdiff_t{y} * width);
      if (box.radius == 1) box_column_direct<1>(rows, width, box, out + std::ptrdiff_t{y} * width);
    }
    return;
  }
  std::vector<std::uint32_t> inner(static_cast<std::size_t>(width));
  for (int k = -margin; k < box.radius; ++k) {
    for (int x = 0; x < width; ++x) inner[static_cast<std::size_t>(x)] += row(k)[x];
  }
  for (int y = 0; y < height; ++y) {
    Byte const* const first = row(y - margin);
    Byte const* const last = row(y + box.radius);
    Byte const* const next = row(y + margin);
    for (int x = 0; x < width; ++x) {
      std::uint32_t& sum = inner[static_cast<std::size_t>(x)];
      sum += last[x];
      sum -= first[x];
      out[std::ptrdiff_t{y} * width + x] =
          pixel::boxed(box, sum, std::uint32_t{first[x]} + next[x]);
    }
  }
}

}  // namespace

std::vector<float> gaussian_weights(double sigma, int taps) {
  int const half = taps / 2;
  auto const s = static_cast<float>(sigma);
  std::vector<float> weights;
  float sum = 0;
  for (int j = -half; j <= half; ++j) {
    auto const x = static_cast<float>(j);
    weights.push_back(std::exp(-(x * x) / (2.0F * (s * s))));
    sum += weights.back();
  }
  for (float& weight : weights) weight /= sum;
  return weights;
}

void Blur::pil(Planes& x, double radius) {
  Box const box = pixel::box_of(radius);
  other_bytes_.resize(static_cast<std::size_t>(x.size()));
  for (int c = 0; c < 3; ++c) {
    Byte* const plane = x.plane(c);
    Byte* const other = other_bytes_.data();
    box_rows(plane, x.height(), x.width(), box, bytes_);
    box_columns(plane, x.height(), x.width(), box, other);
    box_columns(other, x.height(), x.width(), box, plane);
    box_columns(plane, x.height(), x.width(), box, other);
    std::memcpy(plane, other, static_cast<std::size_t>(x.size()));
  }
}

void Blur::torchvision(Planes& x, double sigma, int taps) {
  // Columns, then rows: the sum over all taps x taps products in another order, so that single
  // bytes may differ by 1 from a summation in a row where float32 rounding falls on the other side
  // of a half.
  auto const weights = gaussian_weights(sigma, taps);
  int const half = taps / 2;
  int const width = x.width();
  floats_.resize(static_cast<std::size_t>(2 * width + 2 * half));
  float* const sums = floats_.data() + half;
  float* const out = floats_.data() + width + 2 * half;
  other_bytes_.resize(static_cast<std::size_t>(x.size()));
  for (int c = 0; c < 3; ++c) {
    Byte* const plane = x.plane(c);
    std::memcpy(other_bytes_.data(), plane, other_bytes_.size());
    for (int y = 0; y < x.height(); ++y) {
      std::fill(sums, sums + width, 0.0F);
      std::fill(out, out + width, 0.0F);
      for (int k = 0; k < taps; ++k) {
        float const weight = weights[static_cast<std::size_t>(k)];
        Byte const* const row = other_bytes_.data() +
                                std::ptrdiff_t{pixel::reflected(y + k - half, x.height())} * width;
        for (int i = 0; i < width; ++i) sums[i] += weight * row[i];
      }
      for (int k = 1; k <= half; ++k) {
        sums[-k] = sums[k];
        sums[width - 1 + k] = sums[width - 1 - k];
      }
      for (int k = 0; k < taps; ++k) {
        float const weight = weights[static_cast<std::size_t>(k)];
        for (int i = 0; i < width; ++i) out[i] += weight * sums[i + k - half];
      }
      for (int i = 0; i < width; ++i) {
        plane[std::ptrdiff_t{y} * width + i] = pixel::nearest_byte(out[i]);
      }
    }
  }
}

}  // namespace dino
