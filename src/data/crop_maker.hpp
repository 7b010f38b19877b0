// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "config/config.hpp"
#include "data/augment.hpp"
#include "data/image_source.hpp"
#include "data/loader.hpp"

namespace dino {

/// The views of the sample at `position` of an image of the given extents: global crops, then local
/// ones. Local ones that are parts of global ones have the box and flip of theirs.
std::vector<DrawnView> draw_views(config::Crops const& crops, std::int64_t seed,
                                  std::int64_t position, Extents image);

/// The least side that a JPEG may be decoded at (data.dct_scaling): that of the strongest reduction
/// by 2, 4 or 8 at which the box of every view still has at least the pixels of its crop along both
/// sides, so that no crop is enlarged that was not before; 0 where there is none. \param crop_size
/// side of view k
std::int32_t least_decoded_side(Extents image, std::span<DrawnView const> views,
                                std::span<std::int64_t const> crop_sizes);

/// The part of a reduced picture that a box of the full one covers.
CropBox scaled_box(CropBox const& box, Extents full, Extents reduced);

/// Decodes one image after the other and writes its crops into a batch. One object per worker
/// thread.
class CropMaker {
 public:
  CropMaker(Loader::Options const& options);
  /// Writes all crops of image `image` of the batch, or its decoded picture (Options::deliver).
  /// \return whether a replacement was used
  bool make(ImageSource& source, std::int64_t index, std::span<std::byte const> bytes,
            std::int64_t image, CropBatch& batch);

 private:
  io::Image decode(std::span<std::byte const> encoded, std::int64_t position,
                   CropBatch const& batch);
  void make_crop(DrawnView const& view, std::int64_t crop, std::int64_t image, CropBatch& batch);
  void make_windows(std::int64_t image, CropBatch& batch);
  void keep(io::Image picture, Colours const& colours, std::int64_t image, CropBatch& batch) const;
  WindowPlace window(std::int64_t crop, std::int64_t position, CropBatch const& batch) const;

  Loader::Options options_;
  std::vector<DrawnView> views_;  ///< of the image
  Extents full_;                  ///< of the image as it was encoded
  Augmenter augmenter_;
};

}  // namespace dino
