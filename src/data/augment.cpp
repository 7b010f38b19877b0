// SPDX-License-Identifier: Apache-2.0
#include "data/augment.hpp"

namespace dino {

void Augmenter::make_view(View const& view, int size, float* out) {
  resizer_.resize(columns_, view.box, {size, size}, Interpolation::bicubic, view.flip, picture_);
  if (view.jitter) color_jitter(picture_, *view.jitter);
  if (view.gray) grayscale(picture_);
  if (view.blur_radius && view.blur == BlurKind::gaussian) {
    blur_.torchvision(picture_, *view.blur_radius, gaussian_taps);
  } else if (view.blur_radius) {
    blur_.pil(picture_, *view.blur_radius);
  }
  if (view.solarize) {
    normalization_.apply_solarized(picture_, out);
  } else {
    normalization_.apply(picture_, out);
  }
}

void Augmenter::make_evaluation_view(int shorter, int crop, float* out) {
  Extents const resized = resized_extents(columns_.height(), columns_.width(), shorter);
  resizer_.resize(columns_, {0, 0, columns_.height(), columns_.width()}, resized,
                  center_box(resized, crop), Interpolation::bicubic, Flip::no, picture_);
  normalization_.apply(picture_, out);
}

}  // namespace dino
