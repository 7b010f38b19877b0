// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.hpp"

#include <cmath>

#include "unit/kernels/kernel_test.hpp"

using namespace dino;
using namespace dino::test;

namespace {

double gelu(double x) {
  return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
}
double gelu_slope(double x) {
  return 0.5 * std::erfc(-x / std::sqrt(2.0)) + x * std::exp(-0.5 * x * x) / std::sqrt(2 * M_PI);
}

/// Values of all signs and sizes, 0 among them.
template <class T>
std::vector<T> arguments(std::int64_t count) {
  auto x = random_values<T>(count, 1, 2.5);
  if (count > 1) x[0] = T{};
  return x;
}

template <class T>
class Activation : public testing::Test {};
TYPED_TEST_SUITE(Activation, Precisions);

TYPED_TEST(Activation, GeluIsTheFormWithErf) {
  using T = TypeParam;
  for (std::int64_t const width : {0, 1, 7, 8, 67, 5003}) {
    SCOPED_TRACE(width);
    auto const x = arguments<T>(3 * width);
    std::vector<T> y(x.size());

    run(space, GeluForward<T>{as<2>(x, {3, width}), as<2>(y, {3, width})});

    auto expected = doubles(x);
    for (auto& v : expected) v = gelu(v);
    EXPECT_LE(deviation_from(y, expected), tolerance<T>());
  }
}

TEST(GeluAccuracy, HoldsForEveryArgumentByItself) {
  std::vector<float> x, y(40001);
  for (int i = 0; i <= 40000; ++i) x.push_back(static_cast<float>(i - 20000) / 2000.0F);

  run(space, GeluForward<float>{as<2>(x, {1, 40001}), as<2>(y, {1, 40001})});

  // Relative to |x|: the rounding of Φ, which is at most 1.
  for (std::size_t i = 0; i < x.size(); ++i) {
    auto const v = static_cast<double>(x[i]);
    ASSERT_LE(std::abs(static_cast<double>(y[i]) - gelu(v)), tolerance<float>() * std::abs(v))
        << "x = " << v;
  }
}

TYPED_TEST(Activation, GeluBackwardAgreesWithCalculusAndDifferences) {
  using T = TypeParam;
  for (std::int64_t const width : {0, 1, 7, 67}) {
    SCOPED_TRACE(width);
    auto const x = arguments<T>(2 * width);
    auto const dy = random_values<T>(2 * width, 3);
    std::vector<T> dx(x.size());

    run(space, GeluBackward<T>{as<2>(dy, {2, width}), as<2>(x, {2, width}), as<2>(dx, {2, width})});

    auto expected = doubles(dy);
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] *= gelu_slope(doubles(x)[i]);
    auto const loss = [&](std::vector<double> v) {
      for (auto& e : v) e = gelu(e);
      return inner_product(v, doubles(dy));
    };
    EXPECT_LE(deviation_from(dx, expected), tolerance<T>());
    EXPECT_LE(deviation_from(dx, numeric_gradient(loss, doubles(x))), tolerance<T>());
  }
}

/// More rows than a block of a device sums, and columns that are and are no multiple of a pack.
TYPED_TEST(Activation, GeluBackwardAddsTheGradientOfTheBias) {
  using T = TypeParam;
  for (auto const& [rows, width] :
       {std::pair<std::int64_t, std::int64_t>{0, 8}, {1, 1}, {3, 67}, {131, 40}, {70, 264}}) {
    SCOPED_TRACE(fmt::format("{} x {}", rows, width));
    auto const x = random_values<T>(rows * width, 2);
    auto const dy = random_values<T>(rows * width, 3);
    std::vector<T> dx(x.size()), alone(x.size());
    auto dbias = random_values<float>(width, 4);
    auto expected = doubles(dbias);

    run(space, GeluBackward<T>{as<2>(dy, {rows, width}), as<2>(x, {rows, width}),
                               as<2>(alone, {rows, width})});
    run(space, GeluBackward<T>{as<2>(dy, {rows, width}), as<2>(x, {rows, width}),
                               as<2>(dx, {rows, width}), as<1>(dbias, {width})});

    auto const gradient = doubles(alone);
    EXPECT_EQ(doubles(dx), gradient);
    for (std::size_t i = 0; i < gradient.size(); ++i)
      expected[i % static_cast<std::size_t>(width)] += gradient[i];
    EXPECT_LE(deviation_from(dbias, expected), tolerance<float>(rows));
  }
}

std::vector<double> swiglu(std::vector<double> const& x, std::size_t width) {
  std::vector<double> y(x.size() / 2);
  for (std::size_t i = 0; i < y.size(); ++i) {
    auto const row = i / width * 2 * width, d = i % width;
    y[i] = x[row + d] / (1 + std::exp(-x[row + d])) * x[row + width + d];
  }
  return y;
}

TYPED_TEST(Activation, SwigluGatesItsSecondHalfAndItsGradient) {
  using T = TypeParam;
  for (std::int64_t const width : {1, 7, 67}) {
    SCOPED_TRACE(width);
    auto const x = arguments<T>(2 * 2 * width);
    auto const dy = random_values<T>(2 * width, 3);
    std::vector<T> y(dy.size()), dx(x.size()), in_place = x;

    run(space, SwigluForward<T>{as<2>(x, {2, 2 * width}), as<2>(y, {2, width})});
    run(space, SwigluBackward<T>{as<2>(dy, {2, width}), as<2>(x, {2, 2 * width}),
                                 as<2>(dx, {2, 2 * width})});
    run(space,
        SwigluBackward<T>{as<2>(dy, {2, width}), as<2>(std::as_const(in_place), {2, 2 * width}),
                          as<2>(in_place, {2, 2 * width})});

    auto const n = static_cast<std::size_t>(width);
    auto const loss = [&](std::vector<double> const& v) {
      return inner_product(swiglu(v, n), doubles(dy));
    };
    EXPECT_LE(deviation_from(y, swiglu(doubles(x), n)), tolerance<T>());
    EXPECT_LE(deviation_from(dx, numeric_gradient(loss, doubles(x))), tolerance<T>());
    EXPECT_EQ(doubles(in_place), doubles(dx));
  }
}

TYPED_TEST(Activation, SwigluBackwardAddsTheGradientOfTheBias) {
  using T = TypeParam;
  for (auto const& [rows, width] :
       {std::pair<std::int64_t, std::int64_t>{0, 8}, {1, 1}, {3, 67}, {131, 40}, {70, 264}}) {
    SCOPED_TRACE(fmt::format("{} x {}", rows, width));
    auto const x = random_values<T>(rows * 2 * width, 2);
    auto const dy = random_values<T>(rows * width, 3);
    std::vector<T> dx(x.size()), alone(x.size());
    auto dbias = random_values<float>(2 * width, 4);
    auto expected = doubles(dbias);

    run(space, SwigluBackward<T>{as<2>(dy, {rows, width}), as<2>(x, {rows, 2 * width}),
                                 as<2>(alone, {rows, 2 * width})});
    run(space, SwigluBackward<T>{as<2>(dy, {rows, width}), as<2>(x, {rows, 2 * width}),
                                 as<2>(dx, {rows, 2 * width}), as<1>(dbias, {2 * width})});

    auto const gradient = doubles(alone);
    EXPECT_EQ(doubles(dx), gradient);
    for (std::size_t i = 0; i < gradient.size(); ++i)
      expected[i % static_cast<std::size_t>(2 * width)] += gradient[i];
    EXPECT_LE(deviation_from(dbias, expected), tolerance<float>(rows));
  }
}

TYPED_TEST(Activation, WorksInPlace) {
  using T = TypeParam;
  auto const x = arguments<T>(67);
  std::vector<T> apart(67), in_place = x, dx(67);
  auto dy = random_values<T>(67, 4);

  run(space, GeluForward<T>{as<2>(x, {1, 67}), as<2>(apart, {1, 67})});
  run(space, GeluForward<T>{as<2>(in_place, {1, 67}), as<2>(in_place, {1, 67})});
  EXPECT_EQ(doubles(apart), doubles(in_place));

  run(space, GeluBackward<T>{as<2>(dy, {1, 67}), as<2>(x, {1, 67}), as<2>(dx, {1, 67})});
  run(space, GeluBackward<T>{as<2>(dy, {1, 67}), as<2>(x, {1, 67}), as<2>(dy, {1, 67})});
  EXPECT_EQ(doubles(dx), doubles(dy));
}

TEST(ActivationCheck, RefusesExtentsThatDisagree) {
  std::vector<float> a(12);
  EXPECT_EQ(refusal([&] {
              run(space, GeluForward<float>{as<2>(a, {3, 4}), as<2>(a, {4, 3})});
            }),
            "GeluForward: y is [4, 3], expected [3, 4]");
  EXPECT_EQ(refusal([&] {
              run(space, GeluBackward<float>{as<2>(a, {2, 4}), as<2>(a, {3, 4}), as<2>(a, {3, 4})});
            }),
            "GeluBackward: dy is [2, 4], expected [3, 4]");
  EXPECT_EQ(refusal([&] {
              run(space, GeluBackward<float>{as<2>(a, {3, 4}), as<2>(a, {3, 4}), as<2>(a, {3, 4}),
                                             as<1>(a, {3})});
            }),
            "GeluBackward: dbias is [3], expected [4]");
}

}  // namespace
