// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

#include "config/config.hpp"
#include "config/crop_sizes.hpp"
#include "data/loader.hpp"
#include "kernels/crops.hpp"

namespace dino {

/// Where the crops of each group begin, in values.
struct CropPlaces {
  std::int64_t global = 0, local = 0, gram = 0, end = 0;
};

/// What makes the crops of some images, as lists for the operations of kernels/crops.hpp. Places in
/// the memory of decoded pictures, of weights, of cut pictures and of crops count from 0.
class CropJobs {
 public:
  CropJobs() = default;
  /// \param crops   is referred to, as is the batch
  /// \param places  of the crops
  CropJobs(config::Crops const& crops, CropBatch const& batch, CropPlaces const& places);
  /// Adds image `image` of the batch. \param begin  of its pixels in the memory of pictures, bytes
  void add(std::int64_t image, std::int64_t begin);

  std::vector<ColourChange> images;       ///< decoded pictures whose colours change first
  std::vector<PictureResize> cuts;        ///< of decoded pictures
  std::vector<PictureResize> resizes;     ///< of cut ones
  std::vector<ColourChange> colours;      ///< of cut ones
  std::vector<PictureBoxBlur> box_blurs;  ///< of cut ones
  std::vector<PictureGaussianBlur> gaussian_blurs;
  std::vector<CropWindow> windows;       ///< that become crops
  std::vector<CropResize> crop_resizes;  ///< of crops
  std::int32_t longest = 0;              ///< side of a cut picture
  std::int64_t weights = 0;              ///< values
  std::int64_t picture_bytes = 0;        ///< of cut ones

  /// Of the lists and the weights; of jobs of several images at most the sum over the images.
  std::int64_t bytes();
  template <class Job>
  static std::int64_t bytes_of(std::vector<Job> const& list) {
    return std::ssize(list) * static_cast<std::int64_t>(sizeof(Job));
  }
  /// Calls visit(list) for each.
  template <class Visit>
  void for_lists(Visit const& visit) {
    visit(images), visit(cuts), visit(resizes), visit(colours), visit(box_blurs);
    visit(gaussian_blurs), visit(windows), visit(crop_resizes);
  }

 private:
  PictureLayout take_picture(std::int64_t side);
  PictureLayout cut(DecodedImage const& image, std::int64_t begin, DrawnView const& view,
                    std::int64_t side);
  PictureLayout resize(PictureLayout const& picture, std::int64_t side);
  PictureLayout distort(PictureLayout const& picture, DrawnView const& view);
  void show(PictureLayout const& picture, bool solarized, WindowPlace place, std::int64_t side,
            std::int64_t out);
  void add_global(DecodedImage const& image, std::int64_t begin, std::int64_t crop,
                  std::int64_t number);
  void add_local(DecodedImage const& image, std::int64_t begin, std::int64_t crop,
                 std::int64_t number);

  config::Crops const* crops_ = nullptr;
  CropBatch const* batch_ = nullptr;
  CropPlaces places_;
};

/// Most bytes that the pictures cut from one image take.
std::int64_t cut_picture_bytes(config::Crops const& crops, config::CropSizes const& sizes);

/// Bytes that a decoded picture takes.
std::int64_t decoded_bytes(DecodedImage const& image);

}  // namespace dino
