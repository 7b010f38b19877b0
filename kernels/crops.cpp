// SPDX-License-Identifier: Apache-2.0
#include "kernels/crops.hpp"

#include "base/error.hpp"
#include "kernels/check.hpp"

namespace dino {
namespace {

/// The longest side is known wherever there are jobs.
void check_longest(char const* operation, std::int64_t jobs, std::int64_t longest) {
  require(jobs == 0 || longest >= 1, ExitCode::bug, "{}: {} jobs whose longest side is {}",
          operation, jobs, longest);
}

void check_blurred(char const* operation, std::int64_t jobs, std::int64_t longest) {
  check_longest(operation, jobs, longest);
  require(jobs == 0 || longest <= longest_blurred, ExitCode::usage,
          "crops of {} pixels cannot be blurred on the device (at most {}). Use "
          "data.augment_device=host",
          longest, longest_blurred);
}

}  // namespace

void ResizeWeights::check() const {
  check_longest("resize weights", resizes.size(), longest);
}
void ResizePictures::check() const {
  check_longest("resized pictures", resizes.size(), longest);
}
void ChangeColours::check() const {}
void BoxBlurPictures::check() const {
  check_blurred("box blur", blurs.size(), longest);
}
void GaussianBlurPictures::check() const {
  check_blurred("Gaussian blur", blurs.size(), longest);
}
void NormalizeCrops::check() const {
  check_longest("normalised crops", windows.size(), longest);
  require_extents("normalised crops", "values", values, {2, 3, 256});
}
void ResizeCrops::check() const {
  check_longest("resized crops", resizes.size(), longest);
}

}  // namespace dino
