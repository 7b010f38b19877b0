// SPDX-License-Identifier: Apache-2.0
#include "kernels/batch_norm.hpp"

#include <cmath>
#include <limits>

#include "unit/kernels/kernel_test.hpp"

using namespace dino;
using namespace dino::test;

namespace {

using Doubles = std::vector<double>;

constexpr double eps = 1e-5;

std::size_t at(std::int64_t index) {
  return static_cast<std::size_t>(index);
}

/// Batch normalisation of all rows with their own statistics, in float64.
struct Reference {
  std::int64_t rows, columns;
  bool residual, relu;

  Doubles sums(Doubles const& x) const {
    Doubles out(at(2 * columns));
    for (std::int64_t i = 0; i < rows * columns; ++i) {
      out[at(i % columns)] += x[at(i)];
      out[at(columns + i % columns)] += x[at(i)] * x[at(i)];
    }
    return out;
  }
  /// mean, then 1 / sqrt(variance + eps)
  Doubles statistics(Doubles const& x) const {
    auto out = sums(x);
    for (std::int64_t j = 0; j < columns; ++j) {
      double const mean = out[at(j)] / static_cast<double>(rows);
      double const variance = out[at(columns + j)] / static_cast<double>(rows) - mean * mean;
      out[at(j)] = mean;
      out[at(columns + j)] = 1 / std::sqrt(variance + eps);
    }
    return out;
  }
  Doubles forward(Doubles const& x, Doubles const& weight, Doubles const& bias,
                  Doubles const& r) const {
    auto const s = statistics(x);
    Doubles y(x.size());
    for (std::int64_t i = 0; i < rows * columns; ++i) {
      auto const j = i % columns;
      double z = (x[at(i)] - s[at(j)]) * s[at(columns + j)] * weight[at(j)] + bias[at(j)];
      if (residual) z += r[at(i)];
      y[at(i)] = relu ? std::max(z, 0.0) : z;
    }
    return y;
  }
};

std::vector<Reference> cases() {
  return {{1, 1, false, false}, {2, 3, true, true},   {31, 17, false, true},
          {67, 5, true, false}, {19, 65, true, true}, {23, 64, true, true}};
}

template <class T>
struct Problem {
  explicit Problem(Reference const& reference)
      : c(reference),
        extents{c.rows, c.columns},
        x(random_values<T>(c.rows * c.columns, 1, 1, 0.5)),
        weight(random_values<T>(c.columns, 2, 0.5, 1)),
        bias(random_values<T>(c.columns, 3)),
        r(random_values<T>(c.residual ? c.rows * c.columns : 0, 4)),
        dy(random_values<T>(c.rows * c.columns, 5)),
        y(x.size()) {
    auto const s = c.statistics(doubles(x));
    for (std::int64_t j = 0; j < c.columns; ++j) {
      mean.push_back(static_cast<float>(s[at(j)]));
      rstd.push_back(static_cast<float>(s[at(c.columns + j)]));
    }
  }
  BatchNormForward<T> forward() {
    return {.x = as<2>(std::as_const(x), extents),
            .mean = vector(mean),
            .rstd = vector(rstd),
            .weight = vector(weight),
            .bias = vector(bias),
            .residual = c.residual ? as<2>(std::as_const(r), extents) : View<T const, 2>{},
            .relu = c.relu ? Relu::yes : Relu::no,
            .y = as<2>(y, extents)};
  }
  template <class U>
  View<U const, 1> vector(std::vector<U> const& values) const {
    return as<1>(values, {c.columns});
  }
  View<T const, 2> result() {
    return c.relu ? as<2>(std::as_const(y), extents) : View<T const, 2>{};
  }

  Reference c;
  std::array<std::int64_t, 2> extents;
  std::vector<T> x, weight, bias, r, dy, y;
  std::vector<float> mean, rstd;
};

template <class T>
class BatchNormKernels : public testing::Test {};
TYPED_TEST_SUITE(BatchNormKernels, Precisions);

TYPED_TEST(BatchNormKernels, SumValuesAndSquares) {
  using T = TypeParam;
  for (auto const& [rows, columns] :
       {std::array<std::int64_t, 2>{0, 3}, {1, 1}, {4099, 5}, {97, 130}, {1031, 64}}) {
    auto const x = random_values<T>(rows * columns, 1, 0.1, 30);
    std::vector<double> sums(at(2 * columns), 7.0);

    run(space, BatchMoments<T>{as<2>(x, {rows, columns}), as<2>(sums, {2, columns})});

    Reference const reference{rows, columns, false, false};
    EXPECT_LE(deviation(sums, reference.sums(doubles(x))), tolerance<double>(1) + 1e-12);
  }
}

TYPED_TEST(BatchNormKernels, NormalizeAddAndRectify) {
  using T = TypeParam;
  for (auto const& c : cases()) {
    SCOPED_TRACE(c.columns);
    Problem<T> p(c);
    auto in_place = p.x;

    run(space, p.forward());
    auto alias = p.forward();
    alias.x = as<2>(std::as_const(in_place), p.extents);
    alias.y = as<2>(in_place, p.extents);
    run(space, alias);

    auto const expected = c.forward(doubles(p.x), doubles(p.weight), doubles(p.bias), doubles(p.r));
    EXPECT_LE(deviation_from(p.y, expected), tolerance<T>(16));
    EXPECT_EQ(doubles(in_place), doubles(p.y));
  }
}

/// Values that bfloat16 cannot tell from 0 are rectified one way or the other: float32 only.
TEST(BatchNormBackward, IsTheGradientOfForwardWithItsStatistics) {
  for (auto const& c : cases()) {
    SCOPED_TRACE(c.columns);
    Problem<float> p(c);
    run(space, p.forward());
    std::vector<double> sums(at(2 * c.columns));
    std::vector<float> dweight(at(c.columns), 1.0F), dbias = dweight, dx = p.dy,
                                                     dr(c.residual ? dx.size() : 0);
    auto const x = as<2>(std::as_const(p.x), p.extents);
    auto const dy = as<2>(std::as_const(p.dy), p.extents);

    run(space, BatchNormBackwardSums<float>{.dy = dy,
                                            .y = p.result(),
                                            .x = x,
                                            .mean = p.vector(p.mean),
                                            .rstd = p.vector(p.rstd),
                                            .sums = as<2>(sums, {2, c.columns}),
                                            .dweight = as<1>(dweight, {c.columns}),
                                            .dbias = as<1>(dbias, {c.columns})});
    run(space, BatchNormBackward<float>{
                   .dy = as<2>(std::as_const(dx), p.extents),  // in place
                   .y = p.result(),
                   .x = x,
                   .mean = p.vector(p.mean),
                   .rstd = p.vector(p.rstd),
                   .weight = p.vector(p.weight),
                   .sums = as<2>(std::as_const(sums), {2, c.columns}),
                   .rows = static_cast<double>(c.rows),
                   .dx = as<2>(dx, p.extents),
                   .dresidual = c.residual ? as<2>(dr, p.extents) : View<float, 2>{}});

    auto const of = [&](auto const& f, std::vector<float> const& v) {
      return numeric_gradient([&](auto const& u) { return inner_product(f(u), doubles(p.dy)); },
                              doubles(v));
    };
    auto const fx = doubles(p.x), w = doubles(p.weight), b = doubles(p.bias), r = doubles(p.r);
    auto of_weight = of([&](auto const& v) { return c.forward(fx, v, b, r); }, p.weight);
    auto of_bias = of([&](auto const& v) { return c.forward(fx, w, v, r); }, p.bias);
    for (auto* const v : {&of_weight, &of_bias})
      for (auto& value : *v) value += 1;
    if (c.rows > 2) {  // else the gradient vanishes, and its rounding is all there is
      auto const of_x = of([&](auto const& v) { return c.forward(v, w, b, r); }, p.x);
      EXPECT_LE(deviation_from(dx, of_x), tolerance<float>(c.rows));
    }
    EXPECT_LE(deviation_from(dweight, of_weight), tolerance<float>(c.rows));
    EXPECT_LE(deviation_from(dbias, of_bias), tolerance<float>(c.rows));
    if (c.residual) {
      auto const of_r = of([&](auto const& v) { return c.forward(fx, w, b, v); }, p.r);
      EXPECT_LE(deviation_from(dr, of_r), tolerance<float>());
    }
  }
}

/// \param columns  9: value by value; 64: in packs
class BatchNormBackwardBfloat16 : public testing::TestWithParam<std::int64_t> {};

TEST_P(BatchNormBackwardBfloat16, IsThatOfFloatUpToRounding) {
  auto const columns = GetParam();
  Problem<float> wide({53, columns, true, true});
  Problem<bfloat16> narrow({53, columns, true, true});
  auto const gradients = [columns](auto& p) {
    using T = typename std::decay_t<decltype(p.x)>::value_type;
    run(space, p.forward());
    std::vector<double> sums(at(2 * columns));
    std::vector<float> dweight(at(columns)), dbias(at(columns));
    std::vector<T> dx(p.x.size()), dr(p.x.size());
    auto const x = as<2>(std::as_const(p.x), p.extents);
    auto const dy = as<2>(std::as_const(p.dy), p.extents);
    run(space, BatchNormBackwardSums<T>{dy, p.result(), x, p.vector(p.mean), p.vector(p.rstd),
                                        as<2>(sums, {2, columns}), as<1>(dweight, {columns}),
                                        as<1>(dbias, {columns})});
    run(space, BatchNormBackward<T>{dy, p.result(), x, p.vector(p.mean), p.vector(p.rstd),
                                    p.vector(p.weight), as<2>(std::as_const(sums), {2, columns}),
                                    53.0, as<2>(dx, p.extents), as<2>(dr, p.extents)});
    return std::array{doubles(dx), doubles(dr), sums, doubles(dweight)};
  };
  // Operands that both types hold.
  auto const rounded = [](std::vector<bfloat16> const& v) {
    std::vector<float> out;
    for (auto const value : v) out.push_back(static_cast<float>(value));
    return out;
  };
  wide.x = rounded(narrow.x);
  wide.weight = rounded(narrow.weight);
  wide.bias = rounded(narrow.bias);
  wide.r = rounded(narrow.r);
  wide.dy = rounded(narrow.dy);
  wide.mean = narrow.mean;
  wide.rstd = narrow.rstd;

  auto const a = gradients(narrow), b = gradients(wide);

  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_LE(deviation(a[i], b[i]), tolerance<bfloat16>()) << "result " << i;
}

INSTANTIATE_TEST_SUITE_P(Columns, BatchNormBackwardBfloat16, testing::Values(9, 64));

TYPED_TEST(BatchNormKernels, PassNaNOn) {
  using T = TypeParam;
  Problem<T> p({3, 16, true, true});
  p.x[17] = static_cast<T>(std::numeric_limits<float>::quiet_NaN());

  run(space, p.forward());

  for (std::size_t i = 0; i < p.y.size(); ++i)
    EXPECT_EQ(std::isnan(static_cast<float>(p.y[i])), i == 17) << i;
}

TEST(BatchNormChecks, NameWhatDisagrees) {
  std::vector<float> const x(6);
  std::vector<double> sums(4);

  EXPECT_THAT(refusal([&] {
                run(space, BatchMoments<float>{as<2>(x, {2, 3}), as<2>(sums, {2, 2})});
              }),
              testing::HasSubstr("BatchMoments: sums is [2, 2], expected [2, 3]"));
}

}  // namespace
