// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <span>
#include <vector>

#include "data/blur.hpp"
#include "data/colour.hpp"
#include "data/planes.hpp"
#include "data/resize.hpp"
#include "data/views.hpp"

namespace dino {

/// Which of two crops of one view have its colours, blur and solarization.
enum class Distortions { both, first };

/// Makes normalised crops of one image after the other. Holds all scratch memory, so nothing is
/// allocated per image once it has seen the largest; one object per worker thread. Plain loops:
/// Kokkos may be issued from one thread only, which is the training step's.
class Augmenter {
 public:
  Augmenter(std::array<double, 3> const& mean, std::array<double, 3> const& std)
      : normalization_(mean, std) {}
  /// Takes the image that the next views are cut from; it is not referred to afterwards.
  void set_image(RgbView image) { columns_.assign(image); }
  /// The same with colours that all views share.
  void set_image(RgbView image, Colours const& colours);
  Extents extents() const { return {columns_.height(), columns_.width()}; }
  /// out [3, size, size] = the view, normalised. Source: method.md 5.1.
  void make_view(DrawnView const& view, int size, float* out);
  /// A view at two sizes, for the student and for the Gram teacher. Both are resized from one crop
  /// of the larger size: as pictures before the colours change, or (both distorted) as normalised
  /// numbers after that. Source: method.md 5.2.
  struct Target {
    int size = 0;
    float* out = nullptr;  ///< [3, size, size]
  };
  void make_two_views(DrawnView const& view, Target first, Target second, Distortions distortions);
  /// Local crops that are windows of a global one: each view's colours and blur change the whole
  /// crop of side `size` (box and flip are those of `base`), of which out [3, side, side] is a
  /// part. Source: method.md 5.2.
  struct Window {
    DrawnView view;
    WindowPlace place;
    int side = 0;
    float* out = nullptr;
  };
  void make_windows(DrawnView const& base, int size, std::span<Window const> windows);
  /// out [3, crop, crop] = the evaluation transform: shorter side to `shorter` (bicubic), centre
  /// crop, normalised. Source: method.md 9.1.
  void make_evaluation_view(int shorter, int crop, float* out);
  /// The 8-bit picture before normalisation (and before solarisation) of the last call.
  Planes const& picture() const { return picture_; }

 private:
  void cut(DrawnView const& view, int size);
  void distort(DrawnView const& view, float* out);

  Planes source_;  ///< an image whose colours change before it is cut
  Columns columns_;
  Planes base_;     ///< a global crop of which local ones are windows
  Columns larger_;  ///< a crop from which two are resized
  std::vector<float> normalized_;
  Resizer resizer_;
  Planes picture_;
  Blur blur_;
  Normalization normalization_;
};

}  // namespace dino
