// SPDX-License-Identifier: Apache-2.0
#include "kernels/elementwise.hpp"

#include "unit/kernels/kernel_test.hpp"

using namespace dino;
using namespace dino::test;

namespace {

constexpr std::int64_t sizes[] = {0, 1, 7, 8, 67, 2048, 4099};

template <class T>
class Elementwise : public testing::Test {};
TYPED_TEST_SUITE(Elementwise, Precisions);

TYPED_TEST(Elementwise, FillWritesEveryValue) {
  using T = TypeParam;
  for (auto const n : sizes) {
    std::vector<T> y(static_cast<std::size_t>(n));
    run(space, Fill<T>{as<1>(y, {n}), 1.5F});
    EXPECT_EQ(doubles(y), std::vector<double>(y.size(), 1.5));
  }
}

TYPED_TEST(Elementwise, CastRoundsToTheNearestValue) {
  using T = TypeParam;
  for (auto const n : sizes) {
    auto const x = random_values<float>(n, 1);
    std::vector<T> y(x.size()), expected;
    std::vector<float> back(x.size());
    for (auto const v : x) expected.push_back(static_cast<T>(v));

    run(space, Cast<float, T>{as<1>(x, {n}), as<1>(y, {n})});
    run(space, Cast<T, float>{as<1>(y, {n}), as<1>(back, {n})});

    EXPECT_EQ(doubles(y), doubles(expected));
    EXPECT_EQ(doubles(back), doubles(expected));
  }
}

TYPED_TEST(Elementwise, AxpyAddsAMultiple) {
  using T = TypeParam;
  for (auto const n : sizes) {
    auto const x = random_values<T>(n, 1);
    auto y = random_values<T>(n, 2);
    auto expected = doubles(y);
    for (std::size_t i = 0; i < expected.size(); ++i)
      expected[i] -= 0.75 * doubles(std::vector{x[i]})[0];

    run(space, Axpy<T>{-0.75F, as<1>(x, {n}), as<1>(y, {n})});

    EXPECT_LE(deviation_from(y, expected), tolerance<T>());
  }
}

TEST(ElementwiseSums, AddTheSquares) {
  for (auto const n : {sizes[0], sizes[1], sizes[4], std::int64_t{100003}}) {
    auto const x = random_values<float>(n, 1);
    std::vector<double> sum{2.5};
    auto const v = doubles(x);

    run(space, SumOfSquares{as<1>(x, {n}), as<1>(sum, {1})});

    EXPECT_LE(deviation(sum, std::vector{2.5 + inner_product(v, v)}), tolerance<double>(1));
  }
}

TEST(ElementwiseScale, MultipliesEveryValue) {
  auto x = random_values<float>(67, 1);
  auto expected = doubles(x);
  for (auto& v : expected) v *= 0.3;

  run(space, Scale{as<1>(x, {67}), 0.3F});
  run(space, Scale{});

  EXPECT_LE(deviation_from(x, expected), tolerance<float>());
}

TEST(ElementwiseCheck, RefusesExtentsThatDisagree) {
  std::vector<float> a(8);
  std::vector<double> s(2);
  EXPECT_EQ(refusal([&] {
              run(space, Cast<float, float>{as<1>(a, {8}), as<1>(a, {7})});
            }),
            "Cast: y is [7], expected [8]");
  EXPECT_EQ(refusal([&] {
              run(space, Axpy<float>{1, as<1>(a, {8}), as<1>(a, {7})});
            }),
            "Axpy: y is [7], expected [8]");
  EXPECT_EQ(refusal([&] {
              run(space, Axpy<float>{1, as<1>(a, {8}), {nullptr, {8}}});
            }),
            "Axpy: y has no memory");
  EXPECT_EQ(refusal([&] {
              run(space, SumOfSquares{as<1>(a, {8}), as<1>(s, {2})});
            }),
            "SumOfSquares: sum is [2], expected [1]");
}

}  // namespace
