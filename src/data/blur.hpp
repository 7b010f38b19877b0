// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

#include "data/planes.hpp"

namespace dino {

/// The weights of a Gaussian of `taps` (odd) taps along one axis, in float32. Source:
/// method.md 5.5. \param sigma  pixels, > 0
std::vector<float> gaussian_weights(double sigma, int taps);

/// Blurs 8-bit pictures in place; keeps its scratch memory, so one object serves one thread.
class Blur {
 public:
  /// Pillow's GaussianBlur: three box blurs along the rows, then three along the columns, each
  /// rounded to 8 bits; bit for bit. \param radius pixels, >= 0. Source: method.md 5.5.
  void pil(Planes& x, double radius);
  /// torchvision's Gaussian of `taps` x `taps` (odd) weights in float32, edges reflected.
  /// \param sigma pixels, > 0; each side of the picture exceeds taps / 2. Source: method.md 5.5.
  void torchvision(Planes& x, double sigma, int taps);

 private:
  std::vector<std::uint8_t> bytes_, other_bytes_;
  std::vector<float> floats_;
};

}  // namespace dino
