// SPDX-License-Identifier: Apache-2.0
#include "objective/patch_resize.hpp"

#include "unit/kernels/kernel_test.hpp"

using namespace dino;
using namespace dino::test;

namespace {

template <class T>
class Resize : public testing::Test {};
TYPED_TEST_SUITE(Resize, Precisions);

TYPED_TEST(Resize, LeavesAnEqualGridAsItIs) {
  using T = TypeParam;
  auto const x = random_values<T>(2 * 6 * 5, 1);
  std::vector<float> y(x.size());
  PatchResize resize(host, {});

  resize(as<2>(x, {12, 5}), {2, 3}, {2, 3}, as<2>(y, {12, 5}));

  EXPECT_EQ(doubles(y), doubles(x));
}

// A plane over the grid is a plane on the smaller one, away from the border.
TYPED_TEST(Resize, KeepsPlanesAndTheOrderOfAxes) {
  using T = TypeParam;
  for (auto const filter : {ResampleFilter::bicubic, ResampleFilter::bilinear}) {
    std::vector<T> x;
    for (int i = 0; i < 16; ++i)
      for (int j = 0; j < 8; ++j) x.push_back(static_cast<T>(static_cast<float>(4 * i + j)));
    std::vector<float> y(8 * 4);
    PatchResize resize(host, {.filter = filter});

    resize(as<2>(std::as_const(x), {128, 1}), {16, 8}, {8, 4}, as<2>(y, {32, 1}));

    for (std::size_t i = 1; i < 7; ++i) {
      for (std::size_t j = 1; j < 3; ++j) {
        auto const at = static_cast<float>(2 * i) + 0.5F, and_at = static_cast<float>(2 * j) + 0.5F;
        EXPECT_NEAR(y[i * 4 + j], 4 * at + and_at, 64 * tolerance<float>());
      }
    }
  }
}

TYPED_TEST(Resize, AcceptsNoImages) {
  using T = TypeParam;
  PatchResize resize(host, {});
  EXPECT_NO_THROW(
      resize(View<T const, 2>{nullptr, {0, 5}}, {3, 3}, {2, 2}, View<float, 2>{nullptr, {0, 5}}));
}

}  // namespace
