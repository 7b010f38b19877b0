// SPDX-License-Identifier: Apache-2.0
#include "objective/ibot_loss.hpp"

#include "unit/kernels/kernel_test.hpp"
#include "unit/objective/objective_reference.hpp"

using namespace dino;
using namespace dino::test;

namespace {

template <class T>
class Ibot : public testing::Test {};
TYPED_TEST_SUITE(Ibot, Precisions);

TYPED_TEST(Ibot, IsTheWeightedSumOverMaskedPatchesAndItsGradient) {
  using T = TypeParam;
  for (auto const& [rows, width] : {std::array<std::int64_t, 2>{0, 5}, {1, 1}, {3, 7}, {2, 517}}) {
    SCOPED_TRACE(width);
    auto const k = static_cast<std::size_t>(width);
    auto const student = random_values<float>(rows * width, 1, 0.5);
    auto const p = softmax(doubles(random_values<float>(rows * width, 2)), k, 1);
    std::vector<float> const targets(p.begin(), p.end());
    std::vector<float> weights;
    for (std::int64_t i = 0; i < rows; ++i) weights.push_back(1.0F / static_cast<float>(i + 1));
    std::vector<T> gradient(student.size());
    double const tau = static_cast<double>(0.1F);
    IbotLoss loss(host);

    loss.begin_step();
    loss.template add<T>(as<2>(student, {rows, width}), as<2>(targets, {rows, width}),
                         as<1>(weights, {rows}),
                         {.global_crops = 6, .student_temperature = tau, .loss_weight = 0.5},
                         as<2>(gradient, {rows, width}));

    auto const f = [&](Doubles const& x) {
      auto const log_p = log_softmax(x, k, tau);
      double sum = 0;
      for (std::size_t i = 0; i < weights.size(); ++i)
        sum += static_cast<double>(weights[i]) * cross_entropy(doubles(targets), i, log_p, i, k);
      return sum / 6;
    };
    EXPECT_LE(deviation(Doubles{loss.local_loss()}, Doubles{f(doubles(student))}),
              tolerance<float>(width));
    auto expected = numeric_gradient(f, doubles(student));
    for (auto& v : expected) v *= 0.5;
    EXPECT_LE(deviation_from(gradient, expected), tolerance<T>(width));
  }
}

TEST(IbotLossTest, RefusesExtentsThatDisagree) {
  std::vector<float> a(12);
  IbotLoss loss(host);
  EXPECT_EQ(
      refusal([&] {
        loss.add<float>(as<2>(a, {3, 4}), as<2>(a, {3, 4}), as<1>(a, {2}), {}, as<2>(a, {3, 4}));
      }),
      "TokenCrossEntropy: row_weights is [2], expected [3]");
  EXPECT_EQ(
      refusal([&] {
        loss.add<float>(as<2>(a, {3, 4}), as<2>(a, {2, 4}), as<1>(a, {3}), {}, as<2>(a, {3, 4}));
      }),
      "TokenCrossEntropy: teacher is [2, 4], expected [3, 4]");
}

}  // namespace
