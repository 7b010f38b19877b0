// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.hpp"

#include "unit/kernels/kernel_test.hpp"

using namespace dino;
using namespace dino::test;

namespace {

struct Shape {
  std::int64_t rows, in, out;
};
// 1100 is more than the rows that are converted at a time where bfloat16 arithmetic is missing.
constexpr Shape shapes[] = {{0, 8, 5},    {1, 1, 1},     {3, 7, 5},
                            {17, 33, 19}, {65, 64, 131}, {1100, 16, 24}};

std::vector<double> linear(Shape s, std::vector<double> const& x, std::vector<double> const& weight,
                           std::vector<double> const& bias) {
  std::vector<double> y(static_cast<std::size_t>(s.rows * s.out));
  for (std::int64_t r = 0; r < s.rows; ++r) {
    for (std::int64_t o = 0; o < s.out; ++o) {
      double sum = bias.empty() ? 0 : bias[static_cast<std::size_t>(o)];
      for (std::int64_t i = 0; i < s.in; ++i) {
        sum += x[static_cast<std::size_t>(r * s.in + i)] *
               weight[static_cast<std::size_t>(o * s.in + i)];
      }
      y[static_cast<std::size_t>(r * s.out + o)] = sum;
    }
  }
  return y;
}

std::vector<double> transposed(std::vector<double> const& a, std::int64_t rows,
                               std::int64_t columns) {
  std::vector<double> out(a.size());
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      out[static_cast<std::size_t>(j * rows + i)] = a[static_cast<std::size_t>(i * columns + j)];
    }
  }
  return out;
}

template <class T>
class Gemm : public testing::Test {};
TYPED_TEST_SUITE(Gemm, Precisions);

TYPED_TEST(Gemm, ForwardIsTheProductWithTheTransposedWeightPlusBias) {
  using T = TypeParam;
  for (auto const s : shapes) {
    SCOPED_TRACE(s.rows);
    auto const x = random_values<T>(s.rows * s.in, 1);
    auto const weight = random_values<T>(s.out * s.in, 2);
    auto const bias = random_values<T>(s.out, 3);
    std::vector<T> y(static_cast<std::size_t>(s.rows * s.out));
    std::vector<float> wide(y.size());

    run(space, LinearForward<T, T>{as<2>(x, {s.rows, s.in}), as<2>(weight, {s.out, s.in}),
                                   as<1>(bias, {s.out}), as<2>(y, {s.rows, s.out})});
    run(space, LinearForward<T, float>{as<2>(x, {s.rows, s.in}),
                                       as<2>(weight, {s.out, s.in}),
                                       {},
                                       as<2>(wide, {s.rows, s.out})});

    EXPECT_LE(deviation_from(y, linear(s, doubles(x), doubles(weight), doubles(bias))),
              tolerance<T>(s.in));
    EXPECT_LE(deviation_from(wide, linear(s, doubles(x), doubles(weight), {})),
              tolerance<float>(s.in));
  }
}

TYPED_TEST(Gemm, BackwardInputIsTheProductWithTheWeight) {
  using T = TypeParam;
  for (auto const s : shapes) {
    SCOPED_TRACE(s.rows);
    auto const dy = random_values<T>(s.rows * s.out, 4);
    auto const weight = random_values<T>(s.out * s.in, 5);
    std::vector<T> dx(static_cast<std::size_t>(s.rows * s.in), T{7.0F});

    run(space, LinearBackwardInput<T>{as<2>(dy, {s.rows, s.out}), as<2>(weight, {s.out, s.in}),
                                      as<2>(dx, {s.rows, s.in})});

    auto const expected =
        linear({s.rows, s.out, s.in}, doubles(dy), transposed(doubles(weight), s.out, s.in), {});
    EXPECT_LE(deviation_from(dx, expected), tolerance<T>(s.out));
  }
}

TYPED_TEST(Gemm, BackwardWeightAddsToWeightAndBias) {
  using T = TypeParam;
  for (auto const s : shapes) {
    SCOPED_TRACE(s.rows);
    auto const x = random_values<T>(s.rows * s.in, 6);
    auto const dy = random_values<T>(s.rows * s.out, 7);
    auto dweight = random_values<float>(s.out * s.in, 8);
    auto dbias = random_values<float>(s.out, 9);
    auto weight_expected = linear({s.out, s.rows, s.in}, transposed(doubles(dy), s.rows, s.out),
                                  transposed(doubles(x), s.rows, s.in), {});
    for (std::size_t i = 0; i < dweight.size(); ++i)
      weight_expected[i] += static_cast<double>(dweight[i]);
    auto bias_expected = doubles(dbias);
    for (std::size_t i = 0; i < dy.size(); ++i) {
      bias_expected[i % dbias.size()] += static_cast<double>(static_cast<float>(dy[i]));
    }

    run(space, LinearBackwardWeight<T>{as<2>(x, {s.rows, s.in}), as<2>(dy, {s.rows, s.out}),
                                       as<2>(dweight, {s.out, s.in}), as<1>(dbias, {s.out})});

    EXPECT_LE(deviation_from(dweight, weight_expected), tolerance<float>(s.rows));
    EXPECT_LE(deviation_from(dbias, bias_expected), tolerance<float>(s.rows));
  }
}

TYPED_TEST(Gemm, BackwardAgreesWithCentralDifferences) {
  using T = TypeParam;
  constexpr Shape s{3, 7, 5};
  auto const x = random_values<T>(s.rows * s.in, 1);
  auto const weight = random_values<T>(s.out * s.in, 2);
  auto const dy = random_values<T>(s.rows * s.out, 3);
  std::vector<T> dx(x.size());
  std::vector<float> dweight(weight.size()), dbias(s.out);

  run(space, LinearBackwardInput<T>{as<2>(dy, {s.rows, s.out}), as<2>(weight, {s.out, s.in}),
                                    as<2>(dx, {s.rows, s.in})});
  run(space, LinearBackwardWeight<T>{as<2>(x, {s.rows, s.in}), as<2>(dy, {s.rows, s.out}),
                                     as<2>(dweight, {s.out, s.in}), as<1>(dbias, {s.out})});

  auto const g = doubles(dy);
  auto const of_x = [&](auto const& v) {
    return inner_product(linear(s, v, doubles(weight), {}), g);
  };
  auto const of_weight = [&](auto const& v) {
    return inner_product(linear(s, doubles(x), v, {}), g);
  };
  auto const of_bias = [&](auto const& v) {
    return inner_product(linear(s, doubles(x), doubles(weight), v), g);
  };
  EXPECT_LE(deviation_from(dx, numeric_gradient(of_x, doubles(x))), tolerance<T>(s.out));
  EXPECT_LE(deviation_from(dweight, numeric_gradient(of_weight, doubles(weight))),
            tolerance<float>(s.rows));
  EXPECT_LE(deviation_from(dbias, numeric_gradient(of_bias, std::vector<double>(s.out, 0.5))),
            tolerance<float>(s.rows));
}

TYPED_TEST(Gemm, RepeatsTheSameBits) {
  using T = TypeParam;
  constexpr Shape s{197, 96, 50};
  auto const x = random_values<T>(s.rows * s.in, 1);
  auto const dy = random_values<T>(s.rows * s.out, 2);
  std::vector<float> first(s.out * s.in), second(first), bias(s.out), bias_second(s.out);

  for (auto* const d : {&first, &second}) {
    auto& b = d == &first ? bias : bias_second;
    run(space, LinearBackwardWeight<T>{as<2>(x, {s.rows, s.in}), as<2>(dy, {s.rows, s.out}),
                                       as<2>(*d, {s.out, s.in}), as<1>(b, {s.out})});
  }

  EXPECT_EQ(first, second);
  EXPECT_EQ(bias, bias_second);
}

TEST(GemmCheck, RefusesExtentsThatDisagree) {
  std::vector<float> a(64), b(64), c(64);
  EXPECT_EQ(
      refusal([&] {
        run(space, LinearForward<float>{as<2>(a, {4, 3}), as<2>(b, {5, 2}), {}, as<2>(c, {4, 5})});
      }),
      "LinearForward: weight is [5, 2], expected [5, 3]");
  EXPECT_EQ(refusal([&] {
              run(space, LinearForward<float>{as<2>(a, {4, 3}), as<2>(b, {5, 3}), as<1>(a, {4}),
                                              as<2>(c, {4, 5})});
            }),
            "LinearForward: bias is [4], expected [5]");
  EXPECT_EQ(refusal([&] {
              run(space, LinearBackwardInput<float>{
                             as<2>(a, {4, 5}), as<2>(b, {5, 3}), {nullptr, {4, 3}}});
            }),
            "LinearBackwardInput: dx has no memory");
  EXPECT_EQ(refusal([&] {
              run(space, LinearBackwardWeight<float>{
                             as<2>(a, {4, 3}), as<2>(b, {3, 5}), as<2>(c, {5, 3}), {}});
            }),
            "LinearBackwardWeight: dy is [3, 5], expected [4, 5]");
  EXPECT_EQ(
      refusal([&] {
        run(space, LinearForward<float>{as<2>(a, {4, 0}), as<2>(b, {5, 0}), {}, as<2>(c, {4, 5})});
      }),
      "LinearForward: the inner extent is 0, at least 1 is needed");
}

TEST(GemmDry, CountsOperationsAndReadsNothing) {
  Tally tally;
  Space const dry{Dry{&tally}};
  auto* const nowhere = reinterpret_cast<float*>(64);

  run(dry, LinearForward<float>{{nowhere, {10, 3}}, {nowhere, {5, 3}}, {}, {nowhere, {10, 5}}});

  EXPECT_EQ(tally.operations, 1);
  EXPECT_EQ(tally.matrix_flops, 2.0 * 10 * 3 * 5);
}

}  // namespace
