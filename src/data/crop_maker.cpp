// SPDX-License-Identifier: Apache-2.0
#include "data/crop_maker.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

namespace dino {
namespace {

/// Sides that crops are first cut at: the Gram teacher may see global ones that are larger, and
/// local ones may be parts of global ones.
std::vector<std::int64_t> sides_cut(config::Crops const& crops, CropBatch const& batch) {
  std::vector<std::int64_t> sides(2, std::max(batch.global.size, batch.gram.size));
  sides.insert(sides.end(), static_cast<std::size_t>(batch.local.count),
               crops.localcrops_subset_of_globalcrops ? batch.global.size : batch.local.size);
  return sides;
}

/// The global crop that a local one is part of: the first half of them is of the first one.
/// Source: method.md 5.2.
std::int64_t global_of(std::int64_t crop, std::int64_t local_count) {
  return crop - 2 < local_count / 2 ? 0 : 1;
}

/// Where crop `crop` of an image lies in its group.
float* crop_pixels(CropGroup& group, std::int64_t crop, std::int64_t image, std::int64_t images) {
  return group.pixels.data() + (crop * images + image) * 3 * group.size * group.size;
}

}  // namespace

std::vector<DrawnView> draw_views(config::Crops const& crops, std::int64_t seed,
                                  std::int64_t position, Extents image) {
  std::vector<DrawnView> views;
  for (int crop = 0; crop < 2 + crops.local_count; ++crop) {
    views.push_back(draw_view(crops, static_cast<std::uint64_t>(seed), position, crop, image));
    if (crop < 2 || !crops.localcrops_subset_of_globalcrops) continue;
    auto const& base = views[static_cast<std::size_t>(global_of(crop, crops.local_count))];
    views.back().box = base.box;
    views.back().flip = base.flip;
  }
  return views;
}

std::int32_t least_decoded_side(Extents image, std::span<DrawnView const> views,
                                std::span<std::int64_t const> crop_sizes) {
  int const shorter = std::min(image.height, image.width);
  for (int const reduction : {8, 4, 2}) {
    bool suffices = true;
    for (std::size_t k = 0; k < views.size(); ++k) {
      CropBox const& box = views[k].box;
      suffices = suffices && std::min(box.height, box.width) >= reduction * crop_sizes[k];
    }
    if (suffices) return shorter / reduction;
  }
  return 0;
}

CropBox scaled_box(CropBox const& box, Extents full, Extents reduced) {
  auto const scale = [](int value, int from, int to) {
    return static_cast<int>((std::int64_t{value} * to + from / 2) / from);
  };
  CropBox out{
      scale(box.top, full.height, reduced.height), scale(box.left, full.width, reduced.width),
      scale(box.height, full.height, reduced.height), scale(box.width, full.width, reduced.width)};
  out.height = std::clamp(out.height, 1, reduced.height);
  out.width = std::clamp(out.width, 1, reduced.width);
  out.top = std::min(out.top, reduced.height - out.height);
  out.left = std::min(out.left, reduced.width - out.width);
  return out;
}

CropMaker::CropMaker(Loader::Options const& options)
    : options_(options), augmenter_(options.crops.mean, options.crops.std) {}

/// Decodes an image, and draws its views.
io::Image CropMaker::decode(std::span<std::byte const> encoded, std::int64_t position,
                            CropBatch const& batch) {
  auto const draw = [&](std::int32_t height, std::int32_t width) {
    full_ = {height, width};
    views_ = draw_views(options_.crops, options_.seed, position, full_);
  };
  if (!options_.data.dct_scaling) {
    auto decoded = io::decode_image(encoded);
    draw(decoded.height, decoded.width);
    return decoded;
  }
  auto const size = io::image_size(encoded);
  draw(size.height, size.width);
  auto const sides = sides_cut(options_.crops, batch);
  return io::decode_image(encoded, {.least_side = least_decoded_side(full_, views_, sides)});
}

bool CropMaker::make(ImageSource& source, std::int64_t index, std::span<std::byte const> bytes,
                     std::int64_t image, CropBatch& batch) {
  auto const& crops = options_.crops;
  std::int64_t const position = batch.positions[static_cast<std::size_t>(image)];
  auto [picture, replaced] = source.decode(index, bytes, [&](std::span<std::byte const> encoded) {
    return decode(encoded, position, batch);
  });
  auto const colours =
      crops.share_color_jitter
          ? draw_shared_colours(crops, static_cast<std::uint64_t>(options_.seed), position)
          : Colours{};
  for (auto& view : views_) view.box = scaled_box(view.box, full_, {picture.height, picture.width});
  if (options_.deliver == Deliver::pictures) {
    keep(std::move(picture), colours, image, batch);
    return replaced;
  }
  augmenter_.set_image({picture.pixels.data(), picture.width, picture.height}, colours);
  bool const windows = crops.localcrops_subset_of_globalcrops;
  auto const apart = windows ? std::int64_t{2} : std::ssize(views_);
  for (std::int64_t crop = 0; crop < apart; ++crop)
    make_crop(views_[static_cast<std::size_t>(crop)], crop, image, batch);
  if (windows) make_windows(image, batch);
  return replaced;
}

/// Leaves the picture in the batch, whose memory all workers share.
void CropMaker::keep(io::Image picture, Colours const& colours, std::int64_t image,
                     CropBatch& batch) const {
  auto& kept = batch.decoded[static_cast<std::size_t>(image)];
  kept = {.height = picture.height, .width = picture.width, .views = views_, .colours = colours};
  auto const size = std::ssize(picture.pixels);
  auto const begin = std::atomic_ref(batch.pixels_wanted).fetch_add(size);
  if (begin + size <= std::ssize(batch.pixels)) {
    kept.pixels = batch.pixels.data() + begin;
    std::copy(picture.pixels.begin(), picture.pixels.end(), batch.pixels.begin() + begin);
  } else {
    kept.own = std::move(picture.pixels);
    kept.pixels = kept.own.data();
  }
  if (!options_.crops.localcrops_subset_of_globalcrops) return;
  auto const position = batch.positions[static_cast<std::size_t>(image)];
  for (std::int64_t crop = 2; crop < std::ssize(views_); ++crop)
    kept.windows.push_back(window(crop, position, batch));
}

/// Where local crop `crop` lies in a global one.
WindowPlace CropMaker::window(std::int64_t crop, std::int64_t position,
                              CropBatch const& batch) const {
  return draw_window(static_cast<std::uint64_t>(options_.seed), position, static_cast<int>(crop),
                     batch.global.size, batch.local.size, options_.patch_size);
}

/// All local crops, as parts of the global ones.
void CropMaker::make_windows(std::int64_t image, CropBatch& batch) {
  auto const position = batch.positions[static_cast<std::size_t>(image)];
  std::array<std::vector<Augmenter::Window>, 2> windows;
  for (std::int64_t crop = 2; crop < std::ssize(views_); ++crop) {
    windows[static_cast<std::size_t>(global_of(crop, batch.local.count))].push_back(
        {.view = views_[static_cast<std::size_t>(crop)],
         .place = window(crop, position, batch),
         .side = static_cast<int>(batch.local.size),
         .out = crop_pixels(batch.local, crop - 2, image, batch.images)});
  }
  for (std::size_t base = 0; base < 2; ++base)
    augmenter_.make_windows(views_[base], static_cast<int>(batch.global.size), windows[base]);
}

void CropMaker::make_crop(DrawnView const& view, std::int64_t crop, std::int64_t image,
                          CropBatch& batch) {
  auto const pixels = [&](CropGroup& group, std::int64_t number) {
    return crop_pixels(group, number, image, batch.images);
  };
  auto const side = [](CropGroup const& group) { return static_cast<int>(group.size); };
  auto const& crops = options_.crops;
  if (crop >= 2) {
    augmenter_.make_view(view, side(batch.local), pixels(batch.local, crop - 2));
  } else if (batch.gram.count == 0) {
    augmenter_.make_view(view, side(batch.global), pixels(batch.global, crop));
  } else {
    augmenter_.make_two_views(
        view, {side(batch.global), pixels(batch.global, crop)},
        {side(batch.gram), pixels(batch.gram, crop)},
        crops.gram_teacher_no_distortions ? Distortions::first : Distortions::both);
  }
}

}  // namespace dino
