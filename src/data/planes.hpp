// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dino {

/// Interleaved 8-bit RGB pixels owned by someone else: [height, width, 3], rows one after the
/// other.
struct RgbView {
  std::uint8_t const* pixels = nullptr;
  int width = 0, height = 0;
};

/// An 8-bit RGB picture as three planes, [3, height, width]: colours of neighbours lie side by
/// side, so that colour and blur loops vectorise.
class Planes {
 public:
  Planes() = default;
  Planes(int height, int width) { reshape(height, width); }
  /// Copies interleaved pixels.
  explicit Planes(RgbView image) { assign(image); }
  /// The same; memory is kept.
  void assign(RgbView image);
  /// Changes the extents; the pixels are undefined afterwards. Memory is kept and only ever grows.
  void reshape(int height, int width);
  int width() const { return width_; }
  int height() const { return height_; }
  std::ptrdiff_t size() const { return std::ptrdiff_t{width_} * height_; }  ///< pixels
  std::uint8_t* plane(int channel) { return bytes_.data() + channel * size(); }
  std::uint8_t const* plane(int channel) const { return bytes_.data() + channel * size(); }
  /// All three planes.
  std::span<std::uint8_t> values() { return {bytes_.data(), static_cast<std::size_t>(3 * size())}; }
  std::span<std::uint8_t const> values() const {
    return {bytes_.data(), static_cast<std::size_t>(3 * size())};
  }
  /// [height, width, 3]
  std::vector<std::uint8_t> interleaved() const;

 private:
  int width_ = 0, height_ = 0;
  std::vector<std::uint8_t> bytes_;
};

}  // namespace dino
