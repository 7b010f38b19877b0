// SPDX-License-Identifier: Apache-2.0
#include "kernels/gram.hpp"

#include <cmath>

#include "unit/kernels/kernel_test.hpp"

using namespace dino;
using namespace dino::test;

namespace {

using Doubles = std::vector<double>;

/// weight Σ (s - t)² after the removal of negative values.
double squares(Doubles const& student, Doubles const& teacher, GramNegatives negatives,
               double weight) {
  double sum = 0;
  for (std::size_t i = 0; i < student.size(); ++i) {
    auto const removed = [](bool remove, double x) { return remove && x < 0 ? 0.0 : x; };
    sum += std::pow(removed(negatives == GramNegatives::removed, student[i]) -
                        removed(negatives != GramNegatives::kept, teacher[i]),
                    2);
  }
  return weight * sum;
}

TEST(GramDifferenceTest, IsTheSquaredDifferenceAndItsGradient) {
  for (auto const negatives :
       {GramNegatives::kept, GramNegatives::removed, GramNegatives::removed_of_teacher}) {
    for (auto const& [rows, columns] :
         {std::array<std::int64_t, 2>{0, 3}, {1, 1}, {3, 7}, {2, 517}}) {
      SCOPED_TRACE(columns);
      auto student = random_values<float>(rows * columns, 1);
      auto const teacher = random_values<float>(rows * columns, 2);
      auto const before = doubles(student);
      Doubles loss{0.5};

      run(space, GramDifference{.student = as<2>(student, {rows, columns}),
                                .teacher = as<2>(teacher, {rows, columns}),
                                .negatives = negatives,
                                .weight = 0.25,
                                .gradient_factor = 3,
                                .loss = as<1>(loss, {1})});

      auto const f = [&](Doubles const& s) {
        return squares(s, doubles(teacher), negatives, 0.25);
      };
      EXPECT_LE(deviation(loss, Doubles{0.5 + f(before)}), tolerance<float>());
      auto expected = numeric_gradient(f, before);
      for (auto& v : expected) v *= 3;
      EXPECT_LE(deviation_from(student, expected), tolerance<float>());
    }
  }
}

TEST(GramDifferenceTest, IsTheNumberWorkedOutByHand) {
  std::vector<float> student{1, -2, 0, 3};
  std::vector<float> const teacher{-1, -1, 2, 1};
  Doubles loss{0};

  run(space, GramDifference{.student = as<2>(student, {2, 2}),
                            .teacher = as<2>(teacher, {2, 2}),
                            .negatives = GramNegatives::removed,
                            .loss = as<1>(loss, {1})});

  EXPECT_EQ(loss[0], 1 + 0 + 4 + 4);
  // Where s is 0 and not below, the gradient stays, as in the reference.
  EXPECT_EQ(student, (std::vector<float>{2, 0, -4, 4}));
}

TEST(GramDifferenceTest, LetsNoUndefinedValueDisappear) {
  for (auto const negatives :
       {GramNegatives::kept, GramNegatives::removed, GramNegatives::removed_of_teacher}) {
    std::vector<float> student{NAN}, teacher{1};
    Doubles loss{0};
    run(space, GramDifference{.student = as<2>(student, {1, 1}),
                              .teacher = as<2>(teacher, {1, 1}),
                              .negatives = negatives,
                              .loss = as<1>(loss, {1})});
    EXPECT_TRUE(std::isnan(loss[0]));
  }
}

TEST(GramCheck, RefusesExtentsThatDisagree) {
  std::vector<float> a(6), b(6);
  Doubles loss{0};
  EXPECT_EQ(refusal([&] {
              run(space, GramDifference{.student = as<2>(a, {2, 3}),
                                        .teacher = as<2>(b, {3, 2}),
                                        .loss = as<1>(loss, {1})});
            }),
            "GramDifference: teacher is [3, 2], expected [2, 3]");
}

}  // namespace
