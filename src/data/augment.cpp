// SPDX-License-Identifier: Apache-2.0
#include "data/augment.hpp"

#include <algorithm>

namespace dino {
namespace {

void change_colours(Planes& x, std::optional<ColorJitter> const& jitter, bool gray) {
  if (jitter) color_jitter(x, *jitter);
  if (gray) grayscale(x);
}

}  // namespace

void Augmenter::set_image(RgbView image, Colours const& colours) {
  if (!colours.jitter && !colours.gray) return set_image(image);
  source_.assign(image);
  change_colours(source_, colours.jitter, colours.gray);
  columns_.assign(source_);
}

void Augmenter::cut(DrawnView const& view, int size) {
  resizer_.resize(columns_, view.box, {size, size}, Interpolation::bicubic, view.flip, picture_);
}

/// Colours, blur, normalisation and solarization of the picture.
void Augmenter::distort(DrawnView const& view, float* out) {
  change_colours(picture_, view.jitter, view.gray);
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

void Augmenter::make_view(DrawnView const& view, int size, float* out) {
  cut(view, size);
  distort(view, out);
}

void Augmenter::make_two_views(DrawnView const& view, Target first, Target second,
                               Distortions distortions) {
  int const size = std::max(first.size, second.size);
  cut(view, size);
  if (distortions == Distortions::both) {
    normalized_.resize(static_cast<std::size_t>(3 * size * size));
    distort(view, normalized_.data());
    for (auto const& target : {first, second}) {
      auto const resized = resize_float(normalized_, 3, size, target.size, Interpolation::bicubic);
      std::copy(resized.begin(), resized.end(), target.out);
    }
    return;
  }
  larger_.assign(picture_);
  auto const resized = [&](int side) {
    resizer_.resize(larger_, {0, 0, size, size}, {side, side}, Interpolation::bicubic, Flip::no,
                    picture_);
  };
  resized(second.size);
  normalization_.apply(picture_, second.out);
  resized(first.size);
  distort(view, first.out);
}

void Augmenter::make_windows(DrawnView const& base, int size, std::span<Window const> windows) {
  if (windows.empty()) return;
  cut(base, size);
  base_ = picture_;
  normalized_.resize(static_cast<std::size_t>(3 * size * size));
  for (auto const& window : windows) {
    picture_ = base_;
    distort(window.view, normalized_.data());
    float* out = window.out;
    for (int channel = 0; channel < 3; ++channel) {
      for (int y = window.place.top; y < window.place.top + window.side; ++y)
        out = std::copy_n(normalized_.data() + (channel * size + y) * size + window.place.left,
                          window.side, out);
    }
  }
}

void Augmenter::make_evaluation_view(int shorter, int crop, float* out) {
  Extents const resized = resized_extents(columns_.height(), columns_.width(), shorter);
  resizer_.resize(columns_, {0, 0, columns_.height(), columns_.width()}, resized,
                  center_box(resized, crop), Interpolation::bicubic, Flip::no, picture_);
  normalization_.apply(picture_, out);
}

}  // namespace dino
