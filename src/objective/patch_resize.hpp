// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <map>
#include <utility>

#include "kernels/resample.hpp"

namespace dino {

/// Patches of an image, rows by columns.
struct PatchGrid {
  std::int64_t height = 0, width = 0;
  std::int64_t patches() const { return height * width; }
  friend bool operator==(PatchGrid const&, PatchGrid const&) = default;
};

/// Brings the Gram teacher's patch features to the student's grid. Source: method.md 3.8, step 1.
class PatchResize {
 public:
  PatchResize(Space const& space, ResampleKernel const& kernel) : space_(space), kernel_(kernel) {}

  /// \param x  [n from.patches(), D]; \param y  [n to.patches(), D], overwritten
  template <class T>
  void operator()(View<T const, 2> x, PatchGrid from, PatchGrid to, View<float, 2> y);

 private:
  struct Weights {
    Buffer memory;
    View<float, 2> matrix;
  };
  View<float const, 2> weights(std::int64_t m, std::int64_t n);

  Space space_;
  ResampleKernel kernel_;
  std::map<std::pair<std::int64_t, std::int64_t>, Weights> weights_;
};

}  // namespace dino
