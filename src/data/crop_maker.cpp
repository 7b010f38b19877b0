// SPDX-License-Identifier: Apache-2.0
#include "data/crop_maker.hpp"

#include <algorithm>

namespace dino {
namespace {

/// Sides that crops are first cut at: the Gram teacher may see global ones that are larger.
std::vector<std::int64_t> sizes_of(config::Crops const& crops) {
  auto const gram = crops.gram_teacher_crops_size.value_or(0);
  std::vector<std::int64_t> sizes(2, std::max(crops.global_size, gram));
  sizes.insert(sizes.end(), static_cast<std::size_t>(crops.local_count), crops.local_size);
  return sizes;
}

/// Where crop `crop` of an image lies in its group.
float* crop_pixels(CropGroup& group, std::int64_t crop, std::int64_t image, std::int64_t images) {
  return group.pixels.data() + (crop * images + image) * 3 * group.size * group.size;
}

}  // namespace

std::vector<View> draw_views(config::Crops const& crops, std::int64_t seed, std::int64_t position,
                             Extents image) {
  std::vector<View> views;
  for (int crop = 0; crop < 2 + crops.local_count; ++crop) {
    views.push_back(draw_view(crops, static_cast<std::uint64_t>(seed), position, crop, image));
  }
  return views;
}

std::int32_t least_decoded_side(Extents image, std::span<View const> views,
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
    : options_(options),
      crop_sizes_(sizes_of(options.crops)),
      augmenter_(options.crops.mean, options.crops.std) {}

bool CropMaker::make(ImageSource& source, std::int64_t index, std::span<std::byte const> bytes,
                     std::int64_t image, CropBatch& batch) {
  std::int64_t const position = batch.positions[static_cast<std::size_t>(image)];
  std::vector<View> views;
  Extents full;
  auto const draw = [&](std::int32_t height, std::int32_t width) {
    full = {height, width};
    views = draw_views(options_.crops, options_.seed, position, full);
  };
  auto const decode = [&](std::span<std::byte const> encoded) {
    if (!options_.data.dct_scaling) {
      auto decoded = io::decode_image(encoded);
      draw(decoded.height, decoded.width);
      return decoded;
    }
    auto const size = io::image_size(encoded);
    draw(size.height, size.width);
    return io::decode_image(encoded, {.least_side = least_decoded_side(full, views, crop_sizes_)});
  };
  auto const [picture, replaced] = source.decode(index, bytes, decode);
  augmenter_.set_image({picture.pixels.data(), picture.width, picture.height});
  for (std::size_t k = 0; k < views.size(); ++k) {
    views[k].box = scaled_box(views[k].box, full, augmenter_.extents());
    make_crop(views[k], static_cast<std::int64_t>(k), image, batch);
  }
  return replaced;
}

void CropMaker::make_crop(View const& view, std::int64_t crop, std::int64_t image,
                          CropBatch& batch) {
  auto const pixels = [&](CropGroup& group, std::int64_t number) {
    return crop_pixels(group, number, image, batch.images);
  };
  auto const side = [](CropGroup const& group) { return static_cast<int>(group.size); };
  auto const& crops = options_.crops;
  if (crop >= 2) {
    augmenter_.make_view(view, side(batch.local), pixels(batch.local, crop - 2));
  } else if (!crops.gram_teacher_crops_size) {
    augmenter_.make_view(view, side(batch.global), pixels(batch.global, crop));
  } else {
    augmenter_.make_two_views(
        view, {side(batch.global), pixels(batch.global, crop)},
        {side(batch.gram), pixels(batch.gram, crop)},
        crops.gram_teacher_no_distortions ? Distortions::first : Distortions::both);
  }
}

}  // namespace dino
