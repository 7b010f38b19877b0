// SPDX-License-Identifier: Apache-2.0
#include "kernels/residual.hpp"

#include "unit/kernels/kernel_test.hpp"

using namespace dino;
using namespace dino::test;

namespace {

using Doubles = std::vector<double>;

std::size_t at(std::int64_t index) {
  return static_cast<std::size_t>(index);
}

template <class T>
class Residual : public testing::Test {};
TYPED_TEST_SUITE(Residual, Precisions);

/// x + scale γ branch on some rows, in float64.
struct Reference {
  std::int64_t n, width;
  std::vector<std::int32_t> rows;
  std::vector<float> scale;
  Doubles operator()(Doubles x, Doubles const& branch, Doubles const& gamma) const {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (std::int64_t d = 0; d < width; ++d) {
        x[at(rows[i] * width + d)] +=
            static_cast<double>(scale[i]) * gamma[at(d)] * branch[i * at(width) + at(d)];
      }
    }
    return x;
  }
};

std::vector<Reference> cases() {
  return {{5, 7, {0, 3, 4}, {1.25F, 1.5F, 1.25F}},
          {4, 1, {2}, {2.0F}},
          {3, 67, {2, 0, 1}, {1.0F, 0.5F, 1.25F}},
          {3, 5, {}, {}}};
}

TYPED_TEST(Residual, AddsScaledRowsAndItsGradient) {
  using T = TypeParam;
  for (auto const& c : cases()) {
    SCOPED_TRACE(c.width);
    auto const m = static_cast<std::int64_t>(c.rows.size());
    auto const x = random_values<T>(c.n * c.width, 1), branch = random_values<T>(m * c.width, 2),
               gamma = random_values<T>(c.width, 3), dy = random_values<T>(c.n * c.width, 4);
    std::vector<T> y(x.size()), in_place = x, dbranch(branch.size());
    std::vector<float> dgamma(at(c.width), 1.0F);
    std::array<std::int64_t, 2> const full{c.n, c.width}, part{m, c.width};
    // A subset without rows is not "all rows": its list has an address.
    std::int32_t nowhere = 0;
    View<std::int32_t const, 1> const rows{m == 0 ? &nowhere : c.rows.data(), {m}};

    ResidualForward<T> forward{as<2>(x, full), as<2>(branch, part), as<1>(gamma, {c.width}),
                               rows,           as<1>(c.scale, {m}), as<2>(y, full)};
    run(space, forward);
    forward.x = as<2>(std::as_const(in_place), full);
    forward.y = as<2>(in_place, full);
    run(space, forward);
    run(space,
        ResidualBackward<T>{as<2>(dy, full), as<2>(branch, part), as<1>(gamma, {c.width}), rows,
                            as<1>(c.scale, {m}), as<2>(dbranch, part), as<1>(dgamma, {c.width})});

    auto const a = doubles(x), b = doubles(branch), g = doubles(gamma), d = doubles(dy);
    auto of_gamma =
        numeric_gradient([&](auto const& v) { return inner_product(c(a, b, v), d); }, g);
    for (auto& v : of_gamma) v += 1;
    auto const of_branch =
        numeric_gradient([&](auto const& v) { return inner_product(c(a, v, g), d); }, b);
    EXPECT_LE(deviation_from(y, c(a, b, g)), tolerance<T>());
    EXPECT_EQ(doubles(in_place), doubles(y));
    EXPECT_LE(deviation_from(dbranch, of_branch), tolerance<T>());
    EXPECT_LE(deviation_from(dgamma, of_gamma), tolerance<float>(c.n));
  }
}

TYPED_TEST(Residual, WithoutRowsScaleAndGammaIsASum) {
  using T = TypeParam;
  auto const x = random_values<T>(15, 1), branch = random_values<T>(15, 2);
  std::vector<T> y(15), dbranch(15);

  run(space,
      ResidualForward<T>{as<2>(x, {3, 5}), as<2>(branch, {3, 5}), {}, {}, {}, as<2>(y, {3, 5})});
  run(space, ResidualBackward<T>{as<2>(x, {3, 5}), {}, {}, {}, {}, as<2>(dbranch, {3, 5}), {}});

  auto sum = doubles(x);
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += doubles(branch)[i];
  EXPECT_LE(deviation_from(y, sum), tolerance<T>());
  EXPECT_EQ(doubles(dbranch), doubles(x));
}

TYPED_TEST(Residual, GatherAndScatterAddAreTransposed) {
  using T = TypeParam;
  auto const x = random_values<T>(6 * 5, 1), back = random_values<T>(3 * 5, 2);
  std::vector<std::int32_t> const rows{4, 0, 5};
  std::vector<T> y(15), sum = x;

  run(space, RowGather<T>{as<2>(x, {6, 5}), as<1>(rows, {3}), as<2>(y, {3, 5})});
  run(space, RowScatterAdd<T>{as<2>(back, {3, 5}), as<1>(rows, {3}), as<2>(sum, {6, 5})});

  auto expected = doubles(x);
  for (std::size_t i = 0; i < 15; ++i) {
    auto const there = static_cast<std::size_t>(rows[i / 5]) * 5 + i % 5;
    EXPECT_EQ(doubles(y)[i], doubles(x)[there]);
    expected[there] += doubles(back)[i];
  }
  EXPECT_LE(deviation_from(sum, expected), tolerance<T>());
}

TEST(ResidualCheck, RefusesExtentsThatDisagree) {
  std::vector<float> a(100);
  std::vector<std::int32_t> const rows{0, 1};
  EXPECT_EQ(refusal([&] {
              run(space, ResidualForward<float>{
                             as<2>(a, {3, 5}), as<2>(a, {2, 5}), {}, {}, {}, as<2>(a, {3, 5})});
            }),
            "ResidualForward: branch is [2, 5], expected [3, 5]");
  EXPECT_EQ(refusal([&] {
              run(space, RowGather<float>{as<2>(a, {3, 5}), as<1>(rows, {2}), as<2>(a, {3, 5})});
            }),
            "RowGather: rows is [2], expected [3]");
  EXPECT_EQ(
      refusal([&] {
        run(space, RowScatterAdd<float>{as<2>(a, {2, 4}), as<1>(rows, {2}), as<2>(a, {3, 5})});
      }),
      "RowScatterAdd: x is [2, 4], expected [2, 5]");
  EXPECT_EQ(
      refusal([&] {
        run(space,
            ResidualBackward<float>{
                as<2>(a, {3, 5}), as<2>(a, {3, 5}), {}, {}, {}, as<2>(a, {3, 5}), as<1>(a, {4})});
      }),
      "ResidualBackward: dgamma is [4], expected [5]");
}

}  // namespace
