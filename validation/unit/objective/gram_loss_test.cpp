// SPDX-License-Identifier: Apache-2.0
#include "objective/gram_loss.hpp"

#include <cmath>

#include "unit/kernels/kernel_test.hpp"
#include "unit/objective/objective_reference.hpp"

using namespace dino;
using namespace dino::test;

namespace {

enum class Level { crop, batch };

struct Case {
  std::int64_t crops, patches, dim;
  Level level = Level::crop;
  GramSettings settings = {};
  std::int64_t rows() const { return crops * patches; }
};

/// What a call gives for some features.
struct Result {
  double loss = 0;
  std::vector<float> gradient;
};

Result result_of(Case const& c, std::vector<float> const& student,
                 std::vector<float> const& teacher, std::int64_t global_crops, double loss_weight) {
  Result out{0, std::vector<float>(student.size(), NAN)};
  Arena arena(host, 1 << 23);
  GramLoss loss(host, c.settings);
  loss.begin_step();
  auto const x = as<2>(student, {c.rows(), c.dim}), y = as<2>(teacher, {c.rows(), c.dim});
  auto const gradient = as<2>(out.gradient, {c.rows(), c.dim});
  if (c.level == Level::crop) {
    loss.add_crops(arena, x, y, c.patches, global_crops, loss_weight, gradient);
  } else {
    loss.add_batch(arena, Communicator::self(), x, y, loss_weight, gradient);
  }
  out.loss = loss.local_loss();
  EXPECT_EQ(arena.mark(), 0);
  return out;
}

/// The mean over the elements of all matrices of a batch of `global_crops` crops.
double gram(Case const& c, Doubles const& student, Doubles const& teacher, double global_crops) {
  auto const matrices = c.level == Level::crop ? c.crops : 1;
  auto const n = static_cast<std::size_t>(c.rows() / matrices);
  double const elements =
      (c.level == Level::crop ? global_crops : 1) * static_cast<double>(n) * static_cast<double>(n);
  double sum = 0;
  for (std::size_t m = 0; m < static_cast<std::size_t>(matrices); ++m)
    sum += gram_squares(student, teacher, m * n, n, static_cast<std::size_t>(c.dim),
                        c.settings.normalized, c.settings.negatives);
  return sum / elements;
}

TEST(Gram, IsTheMeanSquaredDifferenceAndItsGradient) {
  for (auto const level : {Level::crop, Level::batch}) {
    for (bool const normalized : {true, false}) {
      for (auto const negatives :
           {GramNegatives::kept, GramNegatives::removed, GramNegatives::removed_of_teacher}) {
        for (auto const& [crops, patches, dim] :
             {std::array<std::int64_t, 3>{1, 1, 3}, {2, 3, 1}, {2, 4, 5}, {1, 7, 11}}) {
          Case const c{crops, patches, dim, level, {normalized, negatives}};
          auto const student = random_values<float>(c.rows() * dim, 1, 0.7);
          auto const teacher = random_values<float>(c.rows() * dim, 2, 0.7);

          auto const got = result_of(c, student, teacher, 3 * crops, 0.5);

          auto const f = [&](Doubles const& x) {
            return gram(c, x, doubles(teacher), 3.0 * static_cast<double>(crops));
          };
          // A difference of cosines can be far below 1, whose rounding it has.
          auto const scale = std::max(1e-2, std::abs(f(doubles(student))));
          EXPECT_NEAR(got.loss, f(doubles(student)), scale * 10 * tolerance<float>(dim));
          auto expected = numeric_gradient(f, doubles(student));
          for (auto& v : expected) v *= 0.5;
          // One row, or directions of one component: cosines that nothing changes.
          auto const n = level == Level::crop ? patches : c.rows();
          if (normalized && (dim == 1 || n == 1)) expected.assign(expected.size(), 0);
          EXPECT_LE(deviation_from(got.gradient, expected), 4 * tolerance<float>(dim * patches))
              << "crops " << crops << ", dim " << dim << ", normalised " << normalized;
        }
      }
    }
  }
}

TEST(Gram, GivesTheNumberWorkedOutByHand) {
  std::vector<float> const student{1, 0, 1, 1, 0, 2}, teacher{1, 0, 0, 1, -1, 1};

  EXPECT_NEAR(result_of({1, 3, 2}, student, teacher, 1, 1).loss, 2.0 / 9, tolerance<float>());
}

/// The gradient of one normalised matrix: 4/N² (S - T) X, through the normalisation of X.
Doubles gradient_of_one(Doubles const& student, Doubles const& teacher, std::size_t width) {
  auto const x = unit_rows(student, width), y = unit_rows(teacher, width);
  auto const n = x.size() / width;
  auto const dot = [&](Doubles const& a, std::size_t i, Doubles const& b, std::size_t j) {
    double sum = 0;
    for (std::size_t k = 0; k < width; ++k) sum += a[i * width + k] * b[j * width + k];
    return sum;
  };
  Doubles out(x.size());
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j)
      for (std::size_t k = 0; k < width; ++k)
        out[i * width + k] += 4.0 / static_cast<double>(n * n) *
                              (dot(x, i, x, j) - dot(y, i, y, j)) * x[j * width + k];
    double const along = dot(out, i, x, i), length = std::sqrt(dot(student, i, student, i));
    for (std::size_t k = 0; k < width; ++k)
      out[i * width + k] = (out[i * width + k] - along * x[i * width + k]) / length;
  }
  return out;
}

// A matrix of more than one block, the last of which are not full.
TEST(Gram, DoesNotDependOnItsBlocks) {
  for (auto const level : {Level::crop, Level::batch}) {
    Case const c{1, 1100, 3, level};
    auto const student = random_values<float>(c.rows() * c.dim, 1);
    auto const teacher = random_values<float>(c.rows() * c.dim, 2);

    auto const got = result_of(c, student, teacher, 1, 1);

    EXPECT_NEAR(got.loss, gram(c, doubles(student), doubles(teacher), 1),
                tolerance<float>(c.patches) * got.loss);
    auto const expected = gradient_of_one(doubles(student), doubles(teacher), 3);
    EXPECT_LE(deviation_from(got.gradient, expected), 4 * tolerance<float>(c.patches));
  }
}

TEST(Gram, IsNothingWithoutCrops) {
  for (auto const level : {Level::crop, Level::batch})
    EXPECT_EQ(result_of({0, 4, 3, level}, {}, {}, 2, 1).loss, 0);
}

}  // namespace
