// SPDX-License-Identifier: Apache-2.0
#include "kernels/koleo.hpp"

#include <cmath>
#include <numeric>

#include "unit/kernels/kernel_test.hpp"

using namespace dino;
using namespace dino::test;

namespace {

using Indices = std::vector<std::int64_t>;
using Doubles = std::vector<double>;

Indices neighbours(std::vector<float> const& similarity, std::int64_t columns, std::int64_t first,
                   std::int64_t topk) {
  auto const rows = static_cast<std::int64_t>(similarity.size()) / columns;
  Indices found(static_cast<std::size_t>(rows * topk), -1);
  run(space, TopNeighbours{as<2>(similarity, {rows, columns}), first, as<2>(found, {rows, topk})});
  return found;
}

TEST(TopNeighboursTest, AreTheLargestWithoutTheRowItself) {
  EXPECT_EQ(neighbours({9, 1, 3, 2, /**/ 1, 9, 0, 4}, 4, 0, 1), (Indices{2, 3}));
  EXPECT_EQ(neighbours({9, 1, 3, 2, /**/ 1, 9, 0, 4}, 4, 2, 2), (Indices{0, 3, 1, 0}));
  // Equal values in the order of their columns; the row itself last, whatever its value.
  EXPECT_EQ(neighbours({5, 5, 9, 5}, 4, 2, 4), (Indices{0, 1, 3, 2}));
  EXPECT_EQ(neighbours({-2, -1, 7}, 3, 2, 2), (Indices{1, 0}));
  EXPECT_EQ(neighbours({1}, 1, 0, 1), (Indices{0}));
}

TEST(TopNeighboursTest, AreColumnsOfTheMatrixEvenWhereValuesAreUndefined) {
  for (auto const column : neighbours(std::vector<float>(2 * 5, NAN), 5, 0, 3)) {
    EXPECT_GE(column, 0);
    EXPECT_LT(column, 5);
  }
}

/// -weight Σ over pairs of the rows [begin, end) of ln(‖u_i - u_j + ε‖ + ε).
double pair_loss(Doubles const& u, std::size_t width, Indices const& of, std::size_t begin,
                 std::size_t end, double weight) {
  auto const topk = of.size() * width / u.size();
  double sum = 0;
  for (std::size_t pair = begin * topk; pair < end * topk; ++pair) {
    double squares = 0;
    for (std::size_t k = 0; k < width; ++k) {
      auto const j = static_cast<std::size_t>(of[pair]);
      squares += std::pow(u[pair / topk * width + k] - u[j * width + k] + 1e-8, 2);
    }
    sum -= weight * std::log(std::sqrt(squares) + 1e-8);
  }
  return sum;
}

TEST(KoleoPairsTest, GiveTheLossOfSomeRowsAndTheGradientOfAll) {
  for (auto const& [rows, width, topk] :
       {std::array<std::int64_t, 3>{2, 1, 1}, {3, 5, 2}, {7, 67, 1}, {5, 130, 3}}) {
    SCOPED_TRACE(width);
    auto const u = random_values<float>(rows * width, 1);
    Indices of;
    for (std::int64_t i = 0; i < rows * topk; ++i) of.push_back((i / topk + 1 + i % topk) % rows);
    std::vector<float> du(u.size(), NAN);
    Doubles coefficients(of.size()), loss{1.5};

    run(space, KoleoPairs{.u = as<2>(u, {rows, width}),
                          .neighbours = as<2>(std::as_const(of), {rows, topk}),
                          .begin = 1,
                          .end = 2,
                          .weight = 0.25,
                          .gradient_factor = 3,
                          .coefficients = as<2>(coefficients, {rows, topk}),
                          .du = as<2>(du, {rows, width}),
                          .loss = as<1>(loss, {1})});

    auto const w = static_cast<std::size_t>(width), n = static_cast<std::size_t>(rows);
    EXPECT_LE(deviation(loss, Doubles{1.5 + pair_loss(doubles(u), w, of, 1, 2, 0.25)}),
              tolerance<float>());
    auto const all = [&](Doubles const& v) { return pair_loss(v, w, of, 0, n, 3 * 0.25); };
    EXPECT_LE(deviation_from(du, numeric_gradient(all, doubles(u))), tolerance<float>(rows * topk));
  }
}

TEST(KoleoCheck, RefusesExtentsThatDisagree) {
  std::vector<float> a(12);
  Indices of(4);
  Doubles s(4);
  EXPECT_EQ(refusal([&] {
              run(space, TopNeighbours{as<2>(a, {3, 4}), 0, as<2>(of, {2, 1})});
            }),
            "TopNeighbours: neighbours is [2, 1], expected [3, 1]");
  EXPECT_EQ(refusal([&] {
              run(space, TopNeighbours{as<2>(a, {3, 4}), 2, as<2>(of, {3, 1})});
            }),
            "TopNeighbours: rows [2, 5) have no column among 4");
  EXPECT_EQ(refusal([&] {
              run(space, TopNeighbours{as<2>(a, {4, 3}), 0, as<2>(of, {1, 4})});
            }),
            "TopNeighbours: neighbours is [1, 4], expected [4, 4]");
  EXPECT_EQ(refusal([&] {
              run(space, KoleoPairs{.u = as<2>(a, {4, 3}),
                                    .neighbours = as<2>(of, {4, 1}),
                                    .begin = 3,
                                    .end = 5,
                                    .coefficients = as<2>(s, {4, 1}),
                                    .du = as<2>(a, {4, 3}),
                                    .loss = as<1>(s, {1})});
            }),
            "KoleoPairs: rows [3, 5) of 4");
}

}  // namespace
