// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm.hpp"

#include <cmath>
#include <numeric>
#include <utility>

#include "unit/kernels/kernel_test.hpp"

using namespace dino;
using namespace dino::test;

namespace {

using Doubles = std::vector<double>;

struct Shape {
  std::int64_t rows, width;
  std::int64_t size() const { return rows * width; }
};
constexpr Shape shapes[] = {{0, 8}, {1, 1}, {2, 7}, {67, 13}, {5, 64}, {131, 67}, {3, 1000}};
constexpr Shape small{5, 7};

Doubles layer_norm(Shape s, Doubles const& x, Doubles const& weight, Doubles const& bias,
                   double eps) {
  Doubles y(x.size());
  auto const n = static_cast<std::size_t>(s.width);
  for (std::size_t r = 0; r < x.size(); r += n) {
    double mean = 0, variance = 0;
    for (std::size_t i = 0; i < n; ++i) mean += x[r + i] / static_cast<double>(n);
    for (std::size_t i = 0; i < n; ++i)
      variance += (x[r + i] - mean) * (x[r + i] - mean) / static_cast<double>(n);
    for (std::size_t i = 0; i < n; ++i)
      y[r + i] = (x[r + i] - mean) / std::sqrt(variance + eps) * weight[i] + bias[i];
  }
  return y;
}

Doubles rms_norm(Shape s, Doubles const& x, Doubles const& weight, double eps) {
  Doubles y(x.size());
  auto const n = static_cast<std::size_t>(s.width);
  for (std::size_t r = 0; r < x.size(); r += n) {
    double square = 0;
    for (std::size_t i = 0; i < n; ++i) square += x[r + i] * x[r + i] / static_cast<double>(n);
    for (std::size_t i = 0; i < n; ++i) y[r + i] = x[r + i] / std::sqrt(square + eps) * weight[i];
  }
  return y;
}

Doubles l2_normalize(Shape s, Doubles const& x, double eps) {
  Doubles y(x.size());
  auto const n = static_cast<std::size_t>(s.width);
  for (std::size_t r = 0; r < x.size(); r += n) {
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += x[r + i] * x[r + i];
    for (std::size_t i = 0; i < n; ++i) y[r + i] = x[r + i] / std::max(std::sqrt(sum), eps);
  }
  return y;
}

Doubles weight_norm(Shape s, Doubles const& g, Doubles const& v) {
  auto y = l2_normalize(s, v, 0);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] *= g[i / static_cast<std::size_t>(s.width)];
  return y;
}

/// Operands of a layer norm and the gradient of its result.
template <class T>
struct LayerNormCase {
  explicit LayerNormCase(Shape shape)
      : s(shape),
        x(random_values<T>(s.size(), 1, 1.5, 0.5)),
        weight(random_values<T>(s.width, 2, 0.5, 1)),
        bias(random_values<T>(s.width, 3)),
        dy(random_values<T>(s.size(), 4)),
        y(x.size()),
        dx(x.size()),
        mean(static_cast<std::size_t>(s.rows)),
        rstd(mean.size()),
        dweight(static_cast<std::size_t>(s.width)),
        dbias(dweight) {}
  LayerNormForward<T> forward() {
    return {as<2>(x, {s.rows, s.width}), as<1>(weight, {s.width}), as<1>(bias, {s.width}),
            as<2>(y, {s.rows, s.width}), as<1>(mean, {s.rows}),    as<1>(rstd, {s.rows})};
  }
  LayerNormBackward<T> backward() {
    return {as<2>(dy, {s.rows, s.width}), as<2>(x, {s.rows, s.width}), as<1>(weight, {s.width}),
            as<1>(mean, {s.rows}),        as<1>(rstd, {s.rows}),       as<2>(dx, {s.rows, s.width}),
            as<1>(dweight, {s.width}),    as<1>(dbias, {s.width})};
  }
  Doubles expected() const {
    return layer_norm(s, doubles(x), doubles(weight), doubles(bias), 1e-6);
  }
  Shape s;
  std::vector<T> x, weight, bias, dy, y, dx;
  std::vector<float> mean, rstd, dweight, dbias;
};

template <class T>
class Norm : public testing::Test {};
TYPED_TEST_SUITE(Norm, Precisions);

TYPED_TEST(Norm, LayerNormNormalizesRows) {
  using T = TypeParam;
  for (auto const s : shapes) {
    SCOPED_TRACE(s.size());
    LayerNormCase<T> c(s);

    run(space, c.forward());

    EXPECT_LE(deviation_from(c.y, c.expected()), tolerance<T>(s.width));
  }
}

TYPED_TEST(Norm, LayerNormKeepsNothingUnlessAskedAndWorksInPlace) {
  using T = TypeParam;
  LayerNormCase<T> c(small);
  auto op = c.forward();
  op.mean = {};
  op.rstd = {};
  run(space, op);
  auto in_place = c.x;

  run(space, LayerNormForward<T>{
                 as<2>(in_place, {5, 7}), op.weight, op.bias, as<2>(in_place, {5, 7}), {}, {}});

  EXPECT_EQ(doubles(in_place), doubles(c.y));
  EXPECT_THAT(c.mean, testing::Each(0.0F));
}

TYPED_TEST(Norm, LayerNormBackwardAgreesWithCentralDifferences) {
  using T = TypeParam;
  for (auto const s : {Shape{0, 7}, small, Shape{67, 3}}) {
    SCOPED_TRACE(s.size());
    LayerNormCase<T> c(s);
    run(space, c.forward());
    std::ranges::fill(c.dweight, 2.0F);  // added to
    std::ranges::fill(c.dbias, 3.0F);

    run(space, c.backward());

    auto const x = doubles(c.x), weight = doubles(c.weight), bias = doubles(c.bias),
               dy = doubles(c.dy);
    auto const of_x = [&](Doubles const& v) {
      return inner_product(layer_norm(s, v, weight, bias, 1e-6), dy);
    };
    auto const of_weight = [&](Doubles const& v) {
      return inner_product(layer_norm(s, x, v, bias, 1e-6), dy) +
             2 * std::accumulate(v.begin(), v.end(), 0.0);
    };
    auto const of_bias = [&](Doubles const& v) {
      return inner_product(layer_norm(s, x, weight, v, 1e-6), dy) +
             3 * std::accumulate(v.begin(), v.end(), 0.0);
    };
    EXPECT_LE(deviation_from(c.dx, numeric_gradient(of_x, x)), tolerance<T>(s.width));
    EXPECT_LE(deviation_from(c.dweight, numeric_gradient(of_weight, weight)),
              tolerance<float>(s.rows));
    EXPECT_LE(deviation_from(c.dbias, numeric_gradient(of_bias, bias)), tolerance<float>(s.rows));
  }
}

TYPED_TEST(Norm, LayerNormBackwardAccumulatesAndWorksInPlace) {
  using T = TypeParam;
  LayerNormCase<T> c({67, 7});
  run(space, c.forward());
  run(space, c.backward());
  auto const dx = c.dx;
  auto const before = random_values<T>(c.s.size(), 9);
  c.dx = before;
  auto added = c.backward();
  added.accumulate = true;
  auto in_place = c.backward();
  in_place.dx = as<2>(c.dy, {67, 7});
  std::ranges::fill(c.dweight, 0.0F);

  run(space, added);
  auto const dweight = std::exchange(c.dweight, std::vector<float>(7));
  in_place.dweight = as<1>(c.dweight, {7});
  run(space, in_place);

  auto sum = doubles(dx);
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += doubles(before)[i];
  EXPECT_LE(deviation_from(c.dx, sum), tolerance<T>());
  EXPECT_EQ(doubles(c.dy), doubles(dx));
  EXPECT_EQ(c.dweight, dweight);
}

/// Operands of an RMS norm and the gradient of its result.
template <class T>
struct RmsNormCase {
  explicit RmsNormCase(Shape shape)
      : s(shape),
        x(random_values<T>(s.size(), 1, 1.5, 0.5)),
        weight(random_values<T>(s.width, 2, 0.5, 1)),
        dy(random_values<T>(s.size(), 4)),
        y(x.size()),
        dx(x.size()),
        rstd(static_cast<std::size_t>(s.rows)),
        dweight(static_cast<std::size_t>(s.width)) {}
  RmsNormForward<T> forward() {
    return {as<2>(x, {s.rows, s.width}), as<1>(weight, {s.width}), as<2>(y, {s.rows, s.width}),
            as<1>(rstd, {s.rows}), eps};
  }
  RmsNormBackward<T> backward() {
    return {as<2>(dy, {s.rows, s.width}), as<2>(x, {s.rows, s.width}),  as<1>(weight, {s.width}),
            as<1>(rstd, {s.rows}),        as<2>(dx, {s.rows, s.width}), as<1>(dweight, {s.width})};
  }
  static constexpr float eps = 0.0625F;  // large enough to be seen
  Shape s;
  std::vector<T> x, weight, dy, y, dx;
  std::vector<float> rstd, dweight;
};

TYPED_TEST(Norm, RmsNormScalesRowsAlsoInPlaceAndWithoutKeeping) {
  using T = TypeParam;
  for (auto const s : shapes) {
    SCOPED_TRACE(s.size());
    RmsNormCase<T> c(s);
    auto in_place = c.x;
    auto op = c.forward();
    op.x = op.y = as<2>(in_place, {s.rows, s.width});
    op.rstd = {};

    run(space, c.forward());
    run(space, op);

    EXPECT_LE(deviation_from(c.y, rms_norm(s, doubles(c.x), doubles(c.weight), c.eps)),
              tolerance<T>(s.width));
    EXPECT_EQ(doubles(in_place), doubles(c.y));
  }
}

TYPED_TEST(Norm, RmsNormBackwardAgreesWithCentralDifferences) {
  using T = TypeParam;
  for (auto const s : {Shape{0, 7}, small, Shape{67, 3}}) {
    SCOPED_TRACE(s.size());
    RmsNormCase<T> c(s);
    run(space, c.forward());
    std::ranges::fill(c.dweight, 2.0F);  // added to

    run(space, c.backward());

    auto const x = doubles(c.x), weight = doubles(c.weight), dy = doubles(c.dy);
    auto const of_x = [&](Doubles const& v) {
      return inner_product(rms_norm(s, v, weight, c.eps), dy);
    };
    auto const of_weight = [&](Doubles const& v) {
      return inner_product(rms_norm(s, x, v, c.eps), dy) +
             2 * std::accumulate(v.begin(), v.end(), 0.0);
    };
    EXPECT_LE(deviation_from(c.dx, numeric_gradient(of_x, x)), tolerance<T>(s.width));
    EXPECT_LE(deviation_from(c.dweight, numeric_gradient(of_weight, weight)),
              tolerance<float>(s.rows));
  }
}

TYPED_TEST(Norm, RmsNormBackwardAccumulatesAndWorksInPlace) {
  using T = TypeParam;
  RmsNormCase<T> c({67, 7});
  run(space, c.forward());
  run(space, c.backward());
  auto const dx = c.dx;
  auto const before = random_values<T>(c.s.size(), 9);
  c.dx = before;
  auto added = c.backward();
  added.accumulate = true;
  auto in_place = c.backward();
  in_place.dx = as<2>(c.dy, {67, 7});

  run(space, added);
  run(space, in_place);

  auto sum = doubles(dx);
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += doubles(before)[i];
  EXPECT_LE(deviation_from(c.dx, sum), tolerance<T>());
  EXPECT_EQ(doubles(c.dy), doubles(dx));
}

TYPED_TEST(Norm, L2NormalizeGivesUnitRowsAndTheirGradient) {
  using T = TypeParam;
  for (auto const s : {Shape{0, 4}, Shape{1, 1}, small, Shape{3, 67}}) {
    SCOPED_TRACE(s.size());
    auto const x = random_values<T>(s.size(), 1, 2);
    auto const dy = random_values<T>(s.size(), 2);
    std::vector<T> y(x.size()), dx(x.size());
    std::vector<float> norm(static_cast<std::size_t>(s.rows));

    run(space, L2NormalizeForward<T>{as<2>(x, {s.rows, s.width}), as<2>(y, {s.rows, s.width}),
                                     as<1>(norm, {s.rows})});
    run(space, L2NormalizeBackward<T>{as<2>(dy, {s.rows, s.width}), as<2>(y, {s.rows, s.width}),
                                      as<1>(norm, {s.rows}), as<2>(dx, {s.rows, s.width})});

    auto const loss = [&](Doubles const& v) {
      return inner_product(l2_normalize(s, v, 1e-12), doubles(dy));
    };
    EXPECT_LE(deviation_from(y, l2_normalize(s, doubles(x), 1e-12)), tolerance<T>(s.width));
    // A single value normalizes to its sign: the gradient is 0, up to the rounding of dy / |x|.
    if (s.width == 1) continue;
    EXPECT_LE(deviation_from(dx, numeric_gradient(loss, doubles(x))), tolerance<T>(s.width));
  }
}

TEST(L2Normalize, DividesShortRowsByEps) {
  std::vector<float> const x{0, 0, 0.3F, 0.4F};
  std::vector<float> y(4), norm(2), dx(4), dy{1, 2, 3, 4};

  run(space, L2NormalizeForward<float>{as<2>(x, {2, 2}), as<2>(y, {2, 2}), as<1>(norm, {2}), 2.0F});
  run(space, L2NormalizeBackward<float>{as<2>(dy, {2, 2}), as<2>(y, {2, 2}), as<1>(norm, {2}),
                                        as<2>(dx, {2, 2}), 2.0F});

  EXPECT_LE(deviation_from(y, {0, 0, 0.15, 0.2}), tolerance<float>());
  EXPECT_LE(deviation_from(norm, {0, 0.5}), tolerance<float>());
  EXPECT_LE(deviation_from(dx, {0.5, 1, 1.5, 2}), tolerance<float>());
}

TYPED_TEST(Norm, WeightNormScalesUnitRowsAndItsGradient) {
  using T = TypeParam;
  for (auto const s : {Shape{0, 4}, small, Shape{3, 67}}) {
    SCOPED_TRACE(s.size());
    auto const v = random_values<T>(s.size(), 1, 2);
    auto const g = random_values<T>(s.rows, 2, 0.3, 1);
    auto const dweight = random_values<float>(s.size(), 3);
    std::vector<T> weight(v.size());
    std::vector<float> dg(static_cast<std::size_t>(s.rows)), dv(v.size(), 1.0F),
        frozen(v.size(), 1.0F);
    auto const at = std::array{s.rows, s.width};

    run(space, WeightNormForward<T>{as<2>(g, {s.rows, 1}), as<2>(v, at), as<2>(weight, at)});
    run(space, WeightNormBackward<T>{as<2>(dweight, at), as<2>(g, {s.rows, 1}), as<2>(v, at),
                                     as<2>(dg, {s.rows, 1}), as<2>(dv, at)});
    run(space, WeightNormBackward<T>{
                   as<2>(dweight, at), as<2>(g, {s.rows, 1}), as<2>(v, at), {}, as<2>(frozen, at)});

    auto const of_v = [&](Doubles const& w) {
      return inner_product(weight_norm(s, doubles(g), w), doubles(dweight)) +
             std::accumulate(w.begin(), w.end(), 0.0);
    };
    auto const of_g = [&](Doubles const& w) {
      return inner_product(weight_norm(s, w, doubles(v)), doubles(dweight));
    };
    EXPECT_LE(deviation_from(weight, weight_norm(s, doubles(g), doubles(v))),
              tolerance<T>(s.width));
    EXPECT_LE(deviation_from(dv, numeric_gradient(of_v, doubles(v))), tolerance<float>(s.width));
    EXPECT_LE(deviation_from(dg, numeric_gradient(of_g, doubles(g))), tolerance<float>(s.width));
    EXPECT_EQ(frozen, dv);
  }
}

TEST(NormCheck, RefusesExtentsThatDisagree) {
  LayerNormCase<float> c(small);
  auto forward = c.forward();
  forward.weight = as<1>(c.x, {6});
  EXPECT_EQ(refusal([&] { run(space, forward); }), "LayerNormForward: weight is [6], expected [7]");
  forward = c.forward();
  forward.rstd = {};
  EXPECT_EQ(refusal([&] { run(space, forward); }), "LayerNormForward: rstd is [0], expected [5]");
  auto backward = c.backward();
  backward.dx = as<2>(c.dy, {5, 7});
  backward.accumulate = true;
  EXPECT_EQ(refusal([&] { run(space, backward); }),
            "LayerNormBackward: dx aliases dy, which needs accumulate = false");
  RmsNormCase<float> r(small);
  auto rms = r.forward();
  rms.rstd = as<1>(r.rstd, {4});
  EXPECT_EQ(refusal([&] { run(space, rms); }), "RmsNormForward: rstd is [4], expected [5]");
  auto rms_backward = r.backward();
  rms_backward.dx = as<2>(r.dy, {5, 7});
  rms_backward.accumulate = true;
  EXPECT_EQ(refusal([&] { run(space, rms_backward); }),
            "RmsNormBackward: dx aliases dy, which needs accumulate = false");
  std::vector<float> a(64);
  EXPECT_EQ(
      refusal([&] {
        run(space, L2NormalizeForward<float>{as<2>(a, {2, 3}), as<2>(a, {2, 3}), as<1>(a, {3})});
      }),
      "L2NormalizeForward: norm is [3], expected [2]");
  EXPECT_EQ(
      refusal([&] {
        run(space, WeightNormForward<float>{as<2>(a, {3, 1}), as<2>(a, {2, 3}), as<2>(a, {2, 3})});
      }),
      "WeightNormForward: g is [3, 1], expected [2, 1]");
  EXPECT_EQ(refusal([&] {
              run(space,
                  WeightNormBackward<float>{
                      as<2>(a, {2, 3}), as<2>(a, {2, 1}), as<2>(a, {2, 3}), {}, as<2>(a, {2, 3})});
            }),
            "WeightNormBackward: dv must not alias dweight");
}

}  // namespace
