// SPDX-License-Identifier: Apache-2.0
#include "data/crop_jobs.hpp"

#include <algorithm>

#include "data/blur.hpp"
#include "kernels/arena.hpp"

namespace dino {
namespace {

std::int64_t planes_bytes(std::int64_t side) {
  return Arena::aligned(3 * side * side);
}

ColourChange colour_change(PictureLayout const& picture, std::optional<ColorJitter> const& jitter,
                           bool gray) {
  ColourChange job;
  job.picture = picture;
  job.gray = gray ? 1 : 0;
  if (!jitter) return job;
  job.jittered = 1;
  for (std::size_t i = 0; i < 4; ++i)
    job.order[i] = static_cast<ColourStep>(static_cast<int>(jitter->order[i]));
  job.brightness = static_cast<float>(jitter->brightness);
  job.contrast = static_cast<float>(jitter->contrast);
  job.saturation = static_cast<float>(jitter->saturation);
  job.hue = pixel::hue_shift(jitter->hue);
  return job;
}
static_assert(static_cast<int>(JitterStep::contrast) == static_cast<int>(ColourStep::contrast) &&
              static_cast<int>(JitterStep::saturation) ==
                  static_cast<int>(ColourStep::saturation) &&
              static_cast<int>(JitterStep::hue) == static_cast<int>(ColourStep::hue));

}  // namespace

CropJobs::CropJobs(config::Crops const& crops, CropBatch const& batch, CropPlaces const& places)
    : crops_(&crops), batch_(&batch), places_(places) {}

PictureLayout CropJobs::take_picture(std::int64_t side) {
  auto const begin = picture_bytes;
  picture_bytes += planes_bytes(side);
  auto const pixels = static_cast<std::int32_t>(side);
  longest = std::max(longest, pixels);
  return PictureLayout::planes(begin, pixels, pixels);
}

/// The box of a view, resized to a square.
PictureLayout CropJobs::cut(DecodedImage const& image, std::int64_t begin, DrawnView const& view,
                            std::int64_t side) {
  auto const out = take_picture(side);
  PictureResize job;
  job.source = PictureLayout::interleaved(begin, image.height, image.width);
  job.top = view.box.top;
  job.left = view.box.left;
  job.rows = ResizeAxis(view.box.height, out.height, weights);
  weights += job.rows.size();
  job.columns = ResizeAxis(view.box.width, out.width, weights);
  weights += job.columns.size();
  job.mirrored = view.flip == Flip::yes ? 1 : 0;
  job.out = out.begin;
  cuts.push_back(job);
  return out;
}

/// A whole cut picture, resized to a square.
PictureLayout CropJobs::resize(PictureLayout const& picture, std::int64_t side) {
  auto const out = take_picture(side);
  PictureResize job;
  job.source = picture;
  job.rows = ResizeAxis(picture.height, out.height, weights);
  weights += job.rows.size();
  job.columns = ResizeAxis(picture.width, out.width, weights);
  weights += job.columns.size();
  job.out = out.begin;
  resizes.push_back(job);
  return out;
}

/// Colours and blur of a cut picture. \return where it is afterwards
PictureLayout CropJobs::distort(PictureLayout const& picture, DrawnView const& view) {
  if (view.jitter || view.gray) colours.push_back(colour_change(picture, view.jitter, view.gray));
  if (!view.blur_radius) return picture;
  if (view.blur == BlurKind::pillow) {
    box_blurs.push_back({picture, pixel::box_of(*view.blur_radius)});
    return picture;
  }
  auto const out = take_picture(picture.height);
  PictureGaussianBlur job;
  job.picture = picture;
  auto const taps = gaussian_weights(*view.blur_radius, PictureGaussianBlur::taps);
  std::copy(taps.begin(), taps.end(), job.weights);
  job.out = out.begin;
  gaussian_blurs.push_back(job);
  return out;
}

void CropJobs::show(PictureLayout const& picture, bool solarized, WindowPlace place,
                    std::int64_t side, std::int64_t out) {
  CropWindow job;
  job.picture = picture;
  job.top = place.top;
  job.left = place.left;
  job.side = static_cast<std::int32_t>(side);
  job.solarized = solarized ? 1 : 0;
  job.out = out;
  windows.push_back(job);
}

/// A global crop for the student, and for the Gram teacher where it has its own.
void CropJobs::add_global(DecodedImage const& image, std::int64_t begin, std::int64_t crop,
                          std::int64_t number) {
  auto const& view = image.views[static_cast<std::size_t>(crop)];
  auto const place = [&](std::int64_t group, std::int64_t size) {
    return group + (crop * batch_->images + number) * 3 * size * size;
  };
  auto const size = batch_->global.size, gram_size = batch_->gram.size;
  auto const out = place(places_.global, size), gram_out = place(places_.gram, gram_size);
  if (batch_->gram.count == 0)
    return show(distort(cut(image, begin, view, size), view), view.solarize, {}, size, out);
  auto const base = cut(image, begin, view, std::max(size, gram_size));
  if (crops_->gram_teacher_no_distortions) {
    show(resize(base, gram_size), false, {}, gram_size, gram_out);
    return show(distort(resize(base, size), view), view.solarize, {}, size, out);
  }
  bool const gram_first = gram_size > size;
  auto const larger = gram_first ? gram_out : out, smaller = gram_first ? out : gram_out;
  show(distort(base, view), view.solarize, {}, base.height, larger);
  CropResize job;
  job.n_in = base.height;
  job.n_out = static_cast<std::int32_t>(std::min(size, gram_size));
  job.in = larger;
  job.out = smaller;
  crop_resizes.push_back(job);
}

void CropJobs::add_local(DecodedImage const& image, std::int64_t begin, std::int64_t crop,
                         std::int64_t number) {
  auto const& view = image.views[static_cast<std::size_t>(crop)];
  auto const side = batch_->local.size;
  bool const window = !image.windows.empty();
  auto const picture = distort(cut(image, begin, view, window ? batch_->global.size : side), view);
  auto const place = window ? image.windows[static_cast<std::size_t>(crop - 2)] : WindowPlace{};
  show(picture, view.solarize, place, side,
       places_.local + ((crop - 2) * batch_->images + number) * 3 * side * side);
}

void CropJobs::add(std::int64_t number, std::int64_t begin) {
  auto const& image = batch_->decoded[static_cast<std::size_t>(number)];
  if (image.colours.jitter || image.colours.gray) {
    images.push_back(colour_change(PictureLayout::interleaved(begin, image.height, image.width),
                                   image.colours.jitter, image.colours.gray));
  }
  for (std::int64_t crop = 0; crop < std::ssize(image.views); ++crop) {
    if (crop < 2) {
      add_global(image, begin, crop, number);
    } else {
      add_local(image, begin, crop, number);
    }
  }
}

std::int64_t cut_picture_bytes(config::Crops const& crops, config::CropSizes const& sizes) {
  auto const blurred = crops.blur == "gaussian" ? 2 : 1;  // into memory of its own
  auto const local = crops.localcrops_subset_of_globalcrops ? sizes.global : sizes.local;
  auto const locals = crops.local_count * blurred * planes_bytes(local);
  if (!sizes.gram || !crops.gram_teacher_no_distortions)
    return 2 * blurred * planes_bytes(sizes.base()) + locals;
  return 2 * (planes_bytes(sizes.base()) + planes_bytes(*sizes.gram) +
              blurred * planes_bytes(sizes.global)) +
         locals;
}

std::int64_t CropJobs::bytes() {
  auto total = Arena::aligned(weights * static_cast<std::int64_t>(sizeof(std::int32_t)));
  for_lists([&](auto const& list) { total += Arena::aligned(bytes_of(list)); });
  return total;
}

std::int64_t decoded_bytes(DecodedImage const& image) {
  return Arena::aligned(std::int64_t{3} * image.height * image.width);
}

}  // namespace dino
