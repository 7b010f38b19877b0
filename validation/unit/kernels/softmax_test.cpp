// SPDX-License-Identifier: Apache-2.0
#include "kernels/softmax.hpp"

#include <cmath>

#include "unit/kernels/kernel_test.hpp"

using namespace dino;
using namespace dino::test;

namespace {

using Doubles = std::vector<double>;

/// softmax((x - center) / temperature) by rows of `width`; ln of it with `logarithm`.
Doubles softmax(Doubles x, std::size_t width, Doubles const& center, double temperature,
                bool logarithm = false) {
  for (std::size_t r = 0; r < x.size(); r += width) {
    double largest = -1e300, sum = 0;
    for (std::size_t k = 0; k < width; ++k) {
      x[r + k] = (x[r + k] - (center.empty() ? 0 : center[k])) / temperature;
      largest = std::max(largest, x[r + k]);
    }
    for (std::size_t k = 0; k < width; ++k) sum += std::exp(x[r + k] - largest);
    for (std::size_t k = 0; k < width; ++k) {
      x[r + k] -= largest + std::log(sum);
      if (!logarithm) x[r + k] = std::exp(x[r + k]);
    }
  }
  return x;
}

TEST(CenteredSoftmaxTest, AgreesWithTheDefinition) {
  for (std::int64_t const width : {1, 7, 64, 67, 1031}) {
    for (std::int64_t const rows : {0, 1, 3}) {
      SCOPED_TRACE(width);
      auto logits = random_values<float>(rows * width, 1);
      auto const center = random_values<float>(width, 2, 0.1);
      std::vector<float> p(logits.size());

      run(space, CenteredSoftmax{as<2>(logits, {rows, width}), as<1>(center, {width}), 0.04F,
                                 as<2>(p, {rows, width})});
      auto const expected = softmax(doubles(logits), static_cast<std::size_t>(width),
                                    doubles(center), static_cast<double>(0.04F));
      // The exponent is about 100, whose rounding is that many times larger.
      EXPECT_LE(deviation_from(p, expected), 100 * tolerance<float>());

      run(space, CenteredSoftmax{as<2>(logits, {rows, width}), as<1>(center, {width}), 0.04F,
                                 as<2>(logits, {rows, width})});
      EXPECT_EQ(logits, p);
    }
  }
}

TEST(ColumnSumsTest, AddTheRows) {
  for (std::int64_t const rows : {0, 1, 63, 131}) {
    for (std::int64_t const width : {1, 7, 300}) {
      auto const x = random_values<float>(rows * width, 1);
      std::vector<float> sums(static_cast<std::size_t>(width), 0.5F);
      Doubles expected(sums.size(), 0.5);
      for (std::size_t i = 0; i < x.size(); ++i)
        expected[i % sums.size()] += static_cast<double>(x[i]);

      run(space, ColumnSums{as<2>(x, {rows, width}), as<1>(sums, {width})});

      EXPECT_LE(deviation_from(sums, expected), tolerance<float>(rows));
    }
  }
}

struct CrossEntropyCase {
  std::int64_t batch, crops, width;
  std::vector<float> student = random_values<float>(crops * batch * width, 1, 0.5);
  std::vector<float> teacher = make_teacher();
  std::vector<float> make_teacher() const {
    auto const p = softmax(doubles(random_values<float>(2 * batch * width, 2)),
                           static_cast<std::size_t>(width), {}, 1);
    return {p.begin(), p.end()};
  }
  /// The sum over pairs of different crops as in the paper, times `weight`.
  double loss(Doubles const& logits, double temperature, double weight) const {
    auto const log_p = softmax(logits, static_cast<std::size_t>(width), {}, temperature, true);
    double sum = 0;
    for (std::int64_t t = 0; t < 2; ++t) {
      for (std::int64_t v = 0; v < crops; ++v) {
        if (t == v) continue;
        for (std::int64_t i = 0; i < batch * width; ++i) {
          sum -= static_cast<double>(teacher[static_cast<std::size_t>(t * batch * width + i)]) *
                 log_p[static_cast<std::size_t>(v * batch * width + i)];
        }
      }
    }
    return weight * sum;
  }
};

template <class T>
class CrossEntropy : public testing::Test {};
TYPED_TEST_SUITE(CrossEntropy, Precisions);

TYPED_TEST(CrossEntropy, IsTheSumOverPairsAndItsGradient) {
  using T = TypeParam;
  for (auto const& [batch, crops, width] :
       {std::array<std::int64_t, 3>{0, 2, 5}, {1, 2, 1}, {1, 2, 5}, {3, 4, 7}, {2, 5, 67}}) {
    SCOPED_TRACE(width);
    CrossEntropyCase const c{batch, crops, width};
    double const temperature = static_cast<double>(0.1F), weight = 0.125;
    std::vector<T> dlogits(c.student.size());
    std::vector<double> loss{1.5};

    run(space, DinoCrossEntropy<T>{.student = as<2>(c.student, {crops * batch, width}),
                                   .teacher = as<2>(c.teacher, {2 * batch, width}),
                                   .batch = batch,
                                   .temperature = 0.1F,
                                   .weight = weight,
                                   .dlogits = as<2>(dlogits, {crops * batch, width}),
                                   .loss = as<1>(loss, {1})});

    auto const f = [&](Doubles const& s) { return c.loss(s, temperature, weight); };
    EXPECT_LE(deviation(loss, Doubles{1.5 + f(doubles(c.student))}), tolerance<float>(width));
    EXPECT_LE(deviation_from(dlogits, numeric_gradient(f, doubles(c.student))),
              tolerance<T>(width));
  }
}

TYPED_TEST(CrossEntropy, OfAllPairsIsThatOfEachTeacherCropAlone) {
  using T = TypeParam;
  CrossEntropyCase const c{2, 3, 67};
  auto const student = as<2>(c.student, {6, 67});
  std::vector<T> both(c.student.size()), alone(both.size());
  std::vector<double> loss(1), sum(1);
  Doubles gradient(both.size());

  DinoCrossEntropy<T> op{.student = student,
                         .teacher = as<2>(c.teacher, {4, 67}),
                         .batch = 2,
                         .weight = 0.5,
                         .dlogits = as<2>(both, {6, 67}),
                         .loss = as<1>(loss, {1}),
                         .pairing = CropPairing::all,
                         .gradient_factor = 3};
  run(space, op);
  op.teacher_crops = 1, op.dlogits = as<2>(alone, {6, 67}), op.loss = as<1>(sum, {1});
  for (std::int64_t a = 0; a < 2; ++a) {
    op.teacher = as<2>(c.teacher, {4, 67}).rows(2 * a, 2 * a + 2);
    run(space, op);
    for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] += doubles(alone)[i];
  }

  EXPECT_LE(deviation(loss, sum), tolerance<float>());
  EXPECT_LE(deviation_from(both, gradient), 2 * tolerance<T>());
}

TYPED_TEST(CrossEntropy, OfTokensWeighsEachRow) {
  using T = TypeParam;
  std::int64_t const rows = 3, width = 67;
  auto const student = random_values<float>(rows * width, 1, 0.5);
  auto const p = softmax(doubles(random_values<float>(rows * width, 2)), 67, {}, 1);
  std::vector<float> const teacher(p.begin(), p.end()), weights{1, 0, 0.25F};
  std::vector<T> dlogits(student.size());
  std::vector<double> loss{1.5};

  run(space, TokenCrossEntropy<T>{.student = as<2>(student, {rows, width}),
                                  .teacher = as<2>(teacher, {rows, width}),
                                  .row_weights = as<1>(weights, {rows}),
                                  .weight = 0.5,
                                  .dlogits = as<2>(dlogits, {rows, width}),
                                  .loss = as<1>(loss, {1}),
                                  .gradient_factor = 3});

  auto const f = [&](Doubles const& s) {
    auto const log_p = softmax(s, 67, {}, static_cast<double>(0.1F), true);
    double sum = 0;
    for (std::size_t i = 0; i < log_p.size(); ++i)
      sum -= 0.5 * static_cast<double>(weights[i / 67] * teacher[i]) * log_p[i];
    return sum;
  };
  auto expected = numeric_gradient(f, doubles(student));
  for (auto& v : expected) v *= 3;
  EXPECT_LE(deviation(loss, Doubles{1.5 + f(doubles(student))}), tolerance<float>(width));
  EXPECT_LE(deviation_from(dlogits, expected), tolerance<T>(width));
}

TEST(CrossEntropyInPlace, GivesTheSameBits) {
  CrossEntropyCase c{2, 3, 67};
  std::vector<float> dlogits(c.student.size());
  std::vector<double> loss(2);
  DinoCrossEntropy<float> op{.student = as<2>(std::as_const(c.student), {6, 67}),
                             .teacher = as<2>(std::as_const(c.teacher), {4, 67}),
                             .batch = 2,
                             .dlogits = as<2>(dlogits, {6, 67}),
                             .loss = {&loss[0], {1}}};
  run(space, op);
  op.dlogits = as<2>(c.student, {6, 67});
  op.loss = {&loss[1], {1}};
  run(space, op);

  EXPECT_EQ(c.student, dlogits);
  EXPECT_EQ(loss[0], loss[1]);
}

TEST(ProbabilityStatisticsTest, SumEntropyAndCountTheLargest) {
  std::int64_t const rows = 131, width = 67;
  auto const reference = softmax(doubles(random_values<float>(rows * width, 3, 3)), 67, {}, 1);
  std::vector<float> p(reference.begin(), reference.end());
  std::fill(p.begin(), p.begin() + width, 0.0F);  // one row is certain
  p[11] = 1;
  std::vector<double> entropy{0.5};
  std::vector<float> usage(67, 1.0F), usage_expected(67, 1.0F);
  double expected = 0.5;
  for (std::int64_t r = 0; r < rows; ++r) {
    auto const row = std::span(p).subspan(static_cast<std::size_t>(r * width), 67);
    ++usage_expected[static_cast<std::size_t>(std::ranges::max_element(row) - row.begin())];
    for (auto const v : row)
      expected -= v > 0 ? static_cast<double>(v) * std::log(static_cast<double>(v)) : 0;
  }

  run(space, ProbabilityStatistics{as<2>(std::as_const(p), {rows, width}), as<1>(entropy, {1}),
                                   as<1>(usage, {width})});
  run(space,
      ProbabilityStatistics{{nullptr, {0, width}}, as<1>(entropy, {1}), as<1>(usage, {width})});

  EXPECT_LE(deviation(entropy, Doubles{expected}), tolerance<float>(width));
  EXPECT_EQ(usage, usage_expected);
}

TEST(SoftmaxCheck, RefusesExtentsThatDisagree) {
  std::vector<float> a(64);
  std::vector<double> s(1);
  EXPECT_EQ(refusal([&] {
              run(space, CenteredSoftmax{as<2>(a, {2, 4}), as<1>(a, {3}), 0.1F, as<2>(a, {2, 4})});
            }),
            "CenteredSoftmax: center is [3], expected [4]");
  EXPECT_THAT(refusal([&] {
                run(space, CenteredSoftmax{as<2>(a, {2, 4}), as<1>(a, {4}), 0, as<2>(a, {2, 4})});
              }),
              testing::HasSubstr("temperature is 0, must be above 0"));
  EXPECT_EQ(refusal([&] {
              run(space, ColumnSums{as<2>(a, {2, 4}), as<1>(a, {3})});
            }),
            "ColumnSums: sums is [3], expected [4]");
  DinoCrossEntropy<float> op{.student = as<2>(std::as_const(a), {5, 4}),
                             .teacher = as<2>(std::as_const(a), {4, 4}),
                             .batch = 2,
                             .dlogits = as<2>(a, {5, 4}),
                             .loss = as<1>(s, {1})};
  EXPECT_EQ(refusal([&] { run(space, op); }),
            "DinoCrossEntropy: 5 student rows are not two or more crops of 2 images");
  op.student = as<2>(std::as_const(a), {6, 4});
  op.dlogits = as<2>(a, {6, 4});
  op.teacher = as<2>(std::as_const(a), {3, 4});
  EXPECT_EQ(refusal([&] { run(space, op); }),
            "DinoCrossEntropy: teacher is [3, 4], expected [4, 4]");
  EXPECT_EQ(refusal([&] {
              run(space, ProbabilityStatistics{as<2>(a, {2, 4}), as<1>(s, {1}), as<1>(a, {5})});
            }),
            "ProbabilityStatistics: usage is [5], expected [4]");
}

}  // namespace
