// SPDX-License-Identifier: Apache-2.0
#include "data/planes.hpp"

namespace dino {

void Planes::assign(RgbView image) {
  reshape(image.height, image.width);
  for (int c = 0; c < 3; ++c) {
    std::uint8_t* const out = plane(c);
    for (std::ptrdiff_t i = 0; i < size(); ++i) out[i] = image.pixels[3 * i + c];
  }
}

void Planes::reshape(int height, int width) {
  width_ = width;
  height_ = height;
  auto const needed = static_cast<std::size_t>(3 * size());
  if (bytes_.size() < needed) bytes_.resize(needed);
}

std::vector<std::uint8_t> Planes::interleaved() const {
  std::vector<std::uint8_t> out(values().size());
  for (int c = 0; c < 3; ++c) {
    std::uint8_t const* const in = plane(c);
    for (std::ptrdiff_t i = 0; i < size(); ++i) out[static_cast<std::size_t>(3 * i + c)] = in[i];
  }
  return out;
}

}  // namespace dino
