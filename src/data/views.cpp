// SPDX-License-Identifier: Apache-2.0
#include "data/views.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace dino {
namespace {

int round_half_even(double x) {
  return static_cast<int>(std::nearbyint(x));
}

/// A random order by Fisher and Yates.
std::array<JitterStep, 4> draw_order(Philox& random) {
  std::array<JitterStep, 4> order{JitterStep::brightness, JitterStep::contrast,
                                  JitterStep::saturation, JitterStep::hue};
  for (std::size_t i = 3; i > 0; --i) std::swap(order[i], order[random.below(i + 1)]);
  return order;
}

/// 1 +- strength, never below 0.
double draw_factor(Philox& random, double strength) {
  return random.uniform(std::max(0.0, 1.0 - strength), 1.0 + strength);
}

ColorJitter draw_jitter(Philox& random, config::Crops const& crops) {
  ColorJitter jitter;
  jitter.order = draw_order(random);
  jitter.brightness = draw_factor(random, crops.brightness);
  jitter.contrast = draw_factor(random, crops.contrast);
  jitter.saturation = draw_factor(random, crops.saturation);
  jitter.hue = random.uniform(-crops.hue, crops.hue);
  return jitter;
}

/// Stream of the colours that all crops of an image share; crops have those of their number.
constexpr std::uint32_t shared_stream = std::numeric_limits<std::uint32_t>::max();

Colours draw_colours(Philox& random, config::Crops const& crops) {
  Colours colours;
  bool const jittered = random.uniform() < crops.jitter_probability;
  colours.gray = random.uniform() < crops.gray_probability;
  if (jittered) colours.jitter = draw_jitter(random, crops);
  return colours;
}

}  // namespace

CropBox fallback_box(Extents image, std::array<double, 2> const& ratio) {
  double const aspect = static_cast<double>(image.width) / image.height;
  int width = image.width;
  int height = image.height;
  if (aspect < ratio[0]) {
    height = round_half_even(image.width / ratio[0]);
  } else if (aspect > ratio[1]) {
    width = round_half_even(image.height * ratio[1]);
  }
  // A side of one pixel can round to none.
  width = std::max(width, 1);
  height = std::max(height, 1);
  return {(image.height - height) / 2, (image.width - width) / 2, height, width};
}

std::optional<CropBox> try_random_crop(Philox& random, Extents image,
                                       std::array<double, 2> const& scale,
                                       std::array<double, 2> const& ratio) {
  double const area = static_cast<double>(image.width) * image.height;
  for (int attempt = 0; attempt < 10; ++attempt) {
    double const target = area * random.uniform(scale[0], scale[1]);
    double const aspect = std::exp(random.uniform(std::log(ratio[0]), std::log(ratio[1])));
    int const width = round_half_even(std::sqrt(target * aspect));
    int const height = round_half_even(std::sqrt(target / aspect));
    if (width < 1 || height < 1 || width > image.width || height > image.height) continue;
    auto const draw_offset = [&](int slack) {
      return static_cast<int>(random.below(static_cast<std::uint64_t>(slack) + 1));
    };
    int const top = draw_offset(image.height - height);
    int const left = draw_offset(image.width - width);
    return CropBox{top, left, height, width};
  }
  return std::nullopt;
}

CropBox random_resized_crop(Philox& random, Extents image, std::array<double, 2> const& scale,
                            std::array<double, 2> const& ratio) {
  auto const box = try_random_crop(random, image, scale, ratio);
  return box ? *box : fallback_box(image, ratio);
}

DrawnView draw_view(config::Crops const& crops, std::uint64_t seed, std::int64_t position, int crop,
                    Extents image) {
  auto const stream = [&](Purpose purpose) {
    return Philox(seed, purpose, static_cast<std::uint64_t>(position),
                  static_cast<std::uint32_t>(crop));
  };
  bool const global = crop < 2;
  DrawnView view;
  Philox box = stream(Purpose::crop);
  view.box = random_resized_crop(box, image, global ? crops.global_scale : crops.local_scale);
  Philox flip = stream(Purpose::flip);
  view.flip = flip.uniform() < crops.flip_probability ? Flip::yes : Flip::no;
  if (!crops.share_color_jitter) {
    Philox colour = stream(Purpose::colour);
    auto const colours = draw_colours(colour, crops);
    view.jitter = colours.jitter;
    view.gray = colours.gray;
  }
  Philox blur = stream(Purpose::blur);
  if (blur.uniform() < crops.blur_probability[static_cast<std::size_t>(std::min(crop, 2))]) {
    view.blur_radius = blur.uniform(crops.blur_radius[0], crops.blur_radius[1]);
    view.blur = crops.blur == "gaussian" ? BlurKind::gaussian : BlurKind::pillow;
  }
  Philox solarize = stream(Purpose::solarize);
  view.solarize = crop == 1 && solarize.uniform() < crops.solarize_probability;
  return view;
}

Colours draw_shared_colours(config::Crops const& crops, std::uint64_t seed, std::int64_t position) {
  Philox colour(seed, Purpose::colour, static_cast<std::uint64_t>(position), shared_stream);
  return draw_colours(colour, crops);
}

WindowPlace draw_window(std::uint64_t seed, std::int64_t position, int crop, std::int64_t global,
                        std::int64_t local, std::int64_t patch_size) {
  Philox random(seed, Purpose::window, static_cast<std::uint64_t>(position),
                static_cast<std::uint32_t>(crop));
  auto const places = static_cast<std::uint64_t>((global - local) / patch_size);
  auto const draw = [&] {
    return static_cast<int>(random.below(places)) * static_cast<int>(patch_size);
  };
  int const top = draw();
  return {top, draw()};
}

}  // namespace dino
