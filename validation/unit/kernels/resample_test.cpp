// SPDX-License-Identifier: Apache-2.0
#include "kernels/resample.hpp"

#include <cmath>

#include "unit/kernels/kernel_test.hpp"

using namespace dino;
using namespace dino::test;

namespace {

using Doubles = std::vector<double>;

constexpr std::array kernels{ResampleKernel{ResampleFilter::bicubic, false},
                             ResampleKernel{ResampleFilter::bicubic, true},
                             ResampleKernel{ResampleFilter::bilinear, false},
                             ResampleKernel{ResampleFilter::bilinear, true}};

std::vector<float> weights(std::int64_t m, std::int64_t n, ResampleKernel const& kernel) {
  return resample_weights(m, n, static_cast<double>(m) / static_cast<double>(n), kernel);
}

TEST(ResampleWeights, KeepConstantsAndAnUnchangedGrid) {
  for (auto const& kernel : kernels) {
    for (auto const& [m, n] : {std::array<std::int64_t, 2>{1, 1}, {1, 5}, {9, 4}, {4, 9}, {7, 7}}) {
      auto const w = weights(m, n, kernel);
      for (std::int64_t i = 0; i < n; ++i) {
        double sum = 0;
        for (std::int64_t j = 0; j < m; ++j) {
          auto const value = static_cast<double>(w[static_cast<std::size_t>(i * m + j)]);
          sum += value;
          if (m != n) continue;
          EXPECT_NEAR(value, i == j ? 1 : 0, tolerance<float>());
        }
        EXPECT_NEAR(sum, 1, tolerance<float>(m));
      }
    }
  }
}

TEST(ResampleWeights, OfHalvingAreThoseWorkedOutByHand) {
  // Output 1 of 2 lies between samples 2 and 3 of 4.
  auto const row = [](std::vector<float> const& w) { return Doubles(w.begin() + 4, w.end()); };
  EXPECT_EQ(row(weights(4, 2, {ResampleFilter::bilinear, false})), (Doubles{0, 0, 0.5, 0.5}));
  // Tap 4 lies outside and is replaced by sample 3.
  EXPECT_LE(deviation(row(weights(4, 2, {ResampleFilter::bicubic, false})),
                      Doubles{0, -0.09375, 0.59375, 0.59375 - 0.09375}),
            tolerance<float>());
  // A triangle of half width 2: 1/4, 3/4, 3/4 over the samples inside, normalised.
  EXPECT_LE(deviation(row(weights(4, 2, {ResampleFilter::bilinear, true})),
                      Doubles{0, 1.0 / 7, 3.0 / 7, 3.0 / 7}),
            tolerance<float>());
}

template <class T>
class Resample : public testing::Test {};
TYPED_TEST_SUITE(Resample, Precisions);

TYPED_TEST(Resample, IsTheProductWithBothWeights) {
  using T = TypeParam;
  for (auto const& [grids, from, to, dim] :
       {std::array<std::int64_t, 4>{0, 3, 2, 5}, {1, 1, 1, 1}, {2, 5, 3, 7}, {3, 2, 6, 67}}) {
    auto const to_width = to + 1;
    auto const x = random_values<T>(grids * from * from * dim, 1);
    auto const a = random_values<float>(to * from, 2), b = random_values<float>(to_width * from, 3);
    std::vector<float> y(static_cast<std::size_t>(grids * to * to_width * dim), 9);

    run(space, GridResample<T>{.x = as<2>(x, {grids * from * from, dim}),
                               .rows = as<2>(a, {to, from}),
                               .columns = as<2>(b, {to_width, from}),
                               .y = as<2>(y, {grids * to * to_width, dim})});

    Doubles expected;
    auto const xs = doubles(x), as_ = doubles(a), bs = doubles(b);
    auto const at = [](Doubles const& v, std::int64_t i) { return v[static_cast<std::size_t>(i)]; };
    for (std::int64_t cell = 0; cell < grids * to * to_width; ++cell) {
      auto const g = cell / (to * to_width), r = cell / to_width % to, c = cell % to_width;
      for (std::int64_t d = 0; d < dim; ++d) {
        double sum = 0;
        for (std::int64_t i = 0; i < from; ++i)
          for (std::int64_t j = 0; j < from; ++j)
            sum += at(as_, r * from + i) * at(bs, c * from + j) *
                   at(xs, ((g * from + i) * from + j) * dim + d);
        expected.push_back(sum);
      }
    }
    EXPECT_LE(deviation_from(y, expected), tolerance<float>(from * from));
  }
}

TEST(ResampleCheck, RefusesExtentsThatDisagree) {
  std::vector<float> x(24), a(6), y(24);
  EXPECT_EQ(refusal([&] {
              run(space, GridResample<float>{.x = as<2>(std::as_const(x), {9, 2}),
                                             .rows = as<2>(std::as_const(a), {2, 3}),
                                             .columns = as<2>(std::as_const(a), {2, 3}),
                                             .y = as<2>(y, {6, 2})});
            }),
            "GridResample: y is [6, 2], expected [4, 2]");
  EXPECT_EQ(refusal([&] {
              run(space, GridResample<float>{.x = as<2>(std::as_const(x), {12, 2}),
                                             .rows = as<2>(std::as_const(a), {2, 3}),
                                             .columns = as<2>(std::as_const(a), {2, 3}),
                                             .y = as<2>(y, {4, 2})});
            }),
            "GridResample: x is [12, 2], expected [9, 2]");
}

}  // namespace
