// SPDX-License-Identifier: Apache-2.0
#include "kernels/sinkhorn.hpp"

#include <cmath>

#include "unit/kernels/kernel_test.hpp"

using namespace dino;
using namespace dino::test;

namespace {

using Doubles = std::vector<double>;

std::vector<double> positive(std::int64_t count, std::uint64_t seed) {
  Doubles out;
  for (auto const v : random_values<float>(count, seed, 2))
    out.push_back(std::exp(static_cast<double>(v)));
  return out;
}

/// One matrix and its scalings, with Σ over rows and over columns written down.
struct Scaled {
  std::int64_t rows, columns;
  std::vector<float> x = random_values<float>(rows * columns, 1, 0.3, 2);
  Doubles c = positive(rows, 2), r = positive(columns, 3);

  double at(std::int64_t i, std::int64_t k) const {
    return static_cast<double>(x[static_cast<std::size_t>(i * columns + k)]);
  }
  double row_sum(std::int64_t i) const {
    double sum = 0;
    for (std::int64_t k = 0; k < columns; ++k) sum += at(i, k) * r[static_cast<std::size_t>(k)];
    return sum;
  }
};

std::vector<std::array<std::int64_t, 2>> const sizes{{0, 5},   {1, 1},     {3, 7}, {2, 255},
                                                     {5, 257}, {65, 1031}, {4, 0}};

TEST(SinkhornExponentialTest, IsRelativeToTheLargestOfTheRow) {
  for (auto const& [rows, columns] : sizes) {
    SCOPED_TRACE(columns);
    if (columns == 0) continue;
    auto x = random_values<float>(rows * columns, 1, 0.3);
    Doubles largest(static_cast<std::size_t>(rows)), expected, expected_largest;
    for (std::int64_t i = 0; i < rows; ++i) {
      auto const row = std::span(x).subspan(static_cast<std::size_t>(i * columns),
                                            static_cast<std::size_t>(columns));
      double const most = static_cast<double>(*std::max_element(row.begin(), row.end()));
      expected_largest.push_back(most / static_cast<double>(0.05F));
      for (auto const v : row)
        expected.push_back(std::exp((static_cast<double>(v) - most) / static_cast<double>(0.05F)));
    }

    run(space, SinkhornExponential{as<2>(x, {rows, columns}), 0.05F, as<1>(largest, {rows})});

    EXPECT_LE(deviation_from(x, expected), 20 * tolerance<float>());  // exponents are about 20
    EXPECT_LE(deviation(largest, expected_largest), 2 * roundoff<double>());
  }
}

TEST(ScaledColumnSumsTest, AddTheScaledRows) {
  for (auto const& [rows, columns] : sizes) {
    SCOPED_TRACE(columns);
    Scaled const m{rows, columns};
    Doubles sums(static_cast<std::size_t>(columns), 0.5), expected(sums);
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t k = 0; k < columns; ++k)
        expected[static_cast<std::size_t>(k)] += m.at(i, k) * m.c[static_cast<std::size_t>(i)];

    run(space,
        ScaledColumnSums{as<2>(m.x, {rows, columns}), as<1>(m.c, {rows}), as<1>(sums, {columns})});

    EXPECT_LE(deviation(sums, expected), 100 * roundoff<double>());
  }
}

TEST(ScaledRows, AreInvertedAndNormalized) {
  for (auto const& [rows, columns] : sizes) {
    SCOPED_TRACE(columns);
    if (columns == 0) continue;
    Scaled m{rows, columns};
    Doubles inverse(static_cast<std::size_t>(rows)), expected_inverse, expected;
    for (std::int64_t i = 0; i < rows; ++i) {
      expected_inverse.push_back(1 / m.row_sum(i));
      for (std::int64_t k = 0; k < columns; ++k)
        expected.push_back(m.at(i, k) * m.r[static_cast<std::size_t>(k)] / m.row_sum(i));
    }

    run(space, InverseRowSums{as<2>(std::as_const(m.x), {rows, columns}), as<1>(m.r, {columns}),
                              as<1>(inverse, {rows})});
    run(space, NormalizeScaledRows{as<2>(m.x, {rows, columns}), as<1>(m.r, {columns})});

    EXPECT_LE(deviation(inverse, expected_inverse), 1000 * roundoff<double>());
    EXPECT_LE(deviation_from(m.x, expected), tolerance<float>());
  }
}

TEST(SinkhornCheck, RefusesExtentsThatDisagree) {
  std::vector<float> x(8);
  Doubles s(8);
  EXPECT_EQ(refusal([&] {
              run(space, SinkhornExponential{as<2>(x, {2, 4}), 0.1F, as<1>(s, {3})});
            }),
            "SinkhornExponential: row_max is [3], expected [2]");
  EXPECT_THAT(refusal([&] {
                run(space, SinkhornExponential{as<2>(x, {2, 4}), 0, as<1>(s, {2})});
              }),
              testing::HasSubstr("temperature is 0, must be above 0"));
  EXPECT_EQ(refusal([&] {
              run(space, ScaledColumnSums{as<2>(x, {2, 4}), as<1>(s, {2}), as<1>(s, {3})});
            }),
            "ScaledColumnSums: sums is [3], expected [4]");
  EXPECT_EQ(refusal([&] {
              run(space, InverseRowSums{as<2>(x, {2, 4}), as<1>(s, {2}), as<1>(s, {2})});
            }),
            "InverseRowSums: column_scale is [2], expected [4]");
  EXPECT_EQ(refusal([&] {
              run(space, NormalizeScaledRows{as<2>(x, {2, 4}), as<1>(s, {5})});
            }),
            "NormalizeScaledRows: column_scale is [5], expected [4]");
}

}  // namespace
