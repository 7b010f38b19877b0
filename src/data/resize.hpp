// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "data/planes.hpp"

namespace dino {

enum class Interpolation { bilinear, bicubic };
enum class Flip : bool { no, yes };

/// Pixels.
struct Extents {
  int height = 0, width = 0;
};

/// Part of a picture, pixels.
struct CropBox {
  int top = 0, left = 0, height = 0, width = 0;
  friend bool operator==(CropBox const&, CropBox const&) = default;
};

/// The weights of an antialiased resize along one axis.
/// Source: method.md 5.6 (Pillow's resampling); bicubic is Keys' kernel with a = -0.5.
class ResizeTaps {
 public:
  /// Weights of inputs [0, n_in) for outputs [begin, begin + count) out of n_out; all at least 1
  /// long.
  void compute(int n_in, int n_out, int begin, int count, Interpolation interpolation);
  /// `output` counts from `begin`.
  int first(int output) const { return first_[static_cast<std::size_t>(output)]; }
  int count(int output) const { return count_[static_cast<std::size_t>(output)]; }
  /// Normalised weights of inputs first .. first + count - 1.
  double const* weights(int output) const { return exact_.data() + output * stride_; }
  /// The same in fixed point, 22 bits after the point, rounded half away from zero.
  std::int32_t const* fixed(int output) const { return fixed_.data() + output * stride_; }

 private:
  std::ptrdiff_t stride_ = 0;
  std::vector<int> first_, count_;
  std::vector<double> exact_;
  std::vector<std::int32_t> fixed_;
};

/// A picture turned on its side once, so that the horizontal passes of all of its crops run over
/// neighbouring bytes: [width * 3, stride], stride at least the height.
class Columns {
 public:
  void assign(RgbView image);
  void assign(Planes const& picture);
  int width() const { return width_; }
  int height() const { return height_; }
  std::ptrdiff_t stride() const { return stride_; }
  /// Channel `c` of column `x`, top to bottom.
  std::uint8_t const* column(int x, int c) const {
    return bytes_.data() + (std::ptrdiff_t{x} * 3 + c) * stride_;
  }

 private:
  int width_ = 0, height_ = 0;
  std::ptrdiff_t stride_ = 0;
  std::vector<std::uint8_t> bytes_;
};

/// Crops and resizes 8-bit pictures, bit for bit as Pillow does: a horizontal pass, rounded to 8
/// bits, then a vertical one. Keeps its scratch memory, so one object serves one thread.
class Resizer {
 public:
  /// out = the part `window` of (the box of `source` resized to `extents`), then mirrored where
  /// `flip` says so. The box lies inside the source, the window inside the extents; only what it
  /// needs is computed. Source: method.md 5.6.
  void resize(Columns const& source, CropBox box, Extents extents, CropBox window,
              Interpolation interpolation, Flip flip, Planes& out);
  /// The whole resized box.
  void resize(Columns const& source, CropBox box, Extents extents, Interpolation interpolation,
              Flip flip, Planes& out) {
    resize(source, box, extents, {0, 0, extents.height, extents.width}, interpolation, flip, out);
  }

 private:
  ResizeTaps horizontal_, vertical_;
  std::vector<std::uint8_t> narrow_columns_;  ///< [3 * width, rows], after the horizontal pass
  std::vector<std::uint8_t> narrow_rows_;     ///< [rows, 3 * width], the same, row by row
};

/// Extents after the shorter side became `shorter`, the longer one int(shorter * long / short).
/// Source: method.md 5.6 (torchvision Resize).
Extents resized_extents(int height, int width, int shorter);

/// The centred box of side `side`; offsets are rounded half to even. \throws Error if it does not
/// fit
CropBox center_box(Extents extents, int side);

/// Float resize of [planes, n_in, n_in] to [planes, n_out, n_out] with antialiasing, sums in
/// float64. Source: method.md 5.2, 5.6.
std::vector<float> resize_float(std::span<float const> x, int planes, int n_in, int n_out,
                                Interpolation interpolation);

}  // namespace dino
