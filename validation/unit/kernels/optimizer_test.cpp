// SPDX-License-Identifier: Apache-2.0
#include "kernels/optimizer.hpp"

#include <cmath>

#include "unit/kernels/kernel_test.hpp"

using namespace dino;
using namespace dino::test;

namespace {

struct Reference {
  std::vector<double> parameter, m, v;
  void step(std::vector<double> const& gradient, AdamWStep const& op) {
    auto const t = static_cast<double>(op.step);
    for (std::size_t i = 0; i < parameter.size(); ++i) {
      double const g = gradient[i] * static_cast<double>(op.gradient_scale);
      parameter[i] *= 1 - op.lr * op.weight_decay;
      m[i] = op.beta1 * m[i] + (1 - op.beta1) * g;
      v[i] = op.beta2 * v[i] + (1 - op.beta2) * g * g;
      double const root = std::sqrt(v[i]) / std::sqrt(1 - std::pow(op.beta2, t));
      parameter[i] -= op.lr * (m[i] / (1 - std::pow(op.beta1, t))) / (root + op.eps);
    }
  }
};

TEST(Optimizer, AdamWFollowsTheReferenceOverSteps) {
  for (std::int64_t const n : {0, 1, 67, 2051}) {
    SCOPED_TRACE(n);
    auto parameter = random_values<float>(n, 1);
    std::vector<float> m(parameter.size()), v(parameter.size());
    Reference reference{doubles(parameter), doubles(m), doubles(v)};
    for (int step = 1; step <= 5; ++step) {
      auto const gradient = random_values<float>(n, 10 + static_cast<std::uint64_t>(step), 1e-3);
      AdamWStep const op{.parameter = as<1>(parameter, {n}),
                         .exp_avg = as<1>(m, {n}),
                         .exp_avg_sq = as<1>(v, {n}),
                         .gradient = as<1>(gradient, {n}),
                         .gradient_scale = 0.5F,
                         .lr = 0.01,
                         .weight_decay = 0.1,
                         .step = step};
      run(space, op);
      reference.step(doubles(gradient), op);
    }
    EXPECT_LE(deviation_from(parameter, reference.parameter), tolerance<float>(5));
    EXPECT_LE(deviation_from(m, reference.m), tolerance<float>(5));
    EXPECT_LE(deviation_from(v, reference.v), tolerance<float>(5));
  }
}

TEST(Optimizer, AdamWMovesByTheLearningRateFirst) {
  std::vector<float> parameter{1, 1}, m(2), v(2), gradient{0.25F, -4};

  run(space, AdamWStep{.parameter = as<1>(parameter, {2}),
                       .exp_avg = as<1>(m, {2}),
                       .exp_avg_sq = as<1>(v, {2}),
                       .gradient = as<1>(std::as_const(gradient), {2}),
                       .lr = 0.1});

  EXPECT_LE(deviation_from(parameter, {0.9, 1.1}), tolerance<float>());
}

TEST(Optimizer, EmaMovesTheTeacherTowardsTheStudent) {
  for (std::int64_t const n : {0, 1, 67}) {
    auto teacher = random_values<float>(n, 1);
    auto const student = random_values<float>(n, 2);
    auto expected = doubles(teacher);
    for (std::size_t i = 0; i < expected.size(); ++i)
      expected[i] = 0.99 * expected[i] + 0.01 * doubles(student)[i];

    run(space, EmaUpdate{as<1>(teacher, {n}), as<1>(student, {n}), 0.99});

    EXPECT_LE(deviation_from(teacher, expected), tolerance<float>());
  }
}

TEST(OptimizerCheck, RefusesExtentsThatDisagreeAndStepZero) {
  std::vector<float> a(8), b(8);
  AdamWStep op{.parameter = as<1>(a, {8}),
               .exp_avg = as<1>(a, {8}),
               .exp_avg_sq = as<1>(a, {8}),
               .gradient = as<1>(std::as_const(a), {7})};
  EXPECT_EQ(refusal([&] { run(space, op); }), "AdamWStep: gradient is [7], expected [8]");
  op.gradient = as<1>(std::as_const(a), {8});
  op.step = 0;
  EXPECT_EQ(refusal([&] { run(space, op); }), "AdamWStep: step is 0, the first is 1");
  EXPECT_EQ(refusal([&] {
              run(space, EmaUpdate{as<1>(a, {8}), as<1>(std::as_const(b), {7})});
            }),
            "EmaUpdate: student is [7], expected [8]");
}

TEST(Optimizer, MomentumFollowsTheReferenceOverSteps) {
  for (std::int64_t const n : {0, 1, 67, 2051}) {
    SCOPED_TRACE(n);
    auto parameter = random_values<float>(n, 1);
    std::vector<float> buffer(parameter.size());
    auto expected = doubles(parameter), moved = doubles(buffer);
    for (std::uint64_t step = 1; step <= 5; ++step) {
      auto const gradient = random_values<float>(n, 10 + step);
      run(space, MomentumStep{.parameter = as<1>(parameter, {n}),
                              .buffer = as<1>(buffer, {n}),
                              .gradient = as<1>(gradient, {n}),
                              .gradient_scale = 0.5F,
                              .lr = 0.1,
                              .weight_decay = 0.2,
                              .momentum = 0.9,
                              .trust = 0.3});
      for (std::size_t i = 0; i < expected.size(); ++i) {
        double const g = 0.5 * static_cast<double>(gradient[i]);
        moved[i] = 0.9 * moved[i] + 0.3 * (g + 0.2 * expected[i]);
        expected[i] -= 0.1 * moved[i];
      }
    }
    EXPECT_LE(deviation_from(parameter, expected), tolerance<float>(5));
    EXPECT_LE(deviation_from(buffer, moved), tolerance<float>(5));
  }
}

TEST(Optimizer, TrustSumsAreAddedInDouble) {
  for (std::int64_t const n : {0, 1, 67, 5003}) {
    auto const parameter = random_values<float>(n, 1), gradient = random_values<float>(n, 2);
    std::vector<double> sums{1, 2}, expected{1, 2};

    run(space, TrustSums{.parameter = as<1>(parameter, {n}),
                         .gradient = as<1>(gradient, {n}),
                         .gradient_scale = 0.5F,
                         .weight_decay = 0.25,
                         .sums = as<1>(sums, {2})});

    for (std::size_t i = 0; i < parameter.size(); ++i) {
      double const p = static_cast<double>(parameter[i]);
      double const d = 0.5 * static_cast<double>(gradient[i]) + 0.25 * p;
      expected[0] += p * p;
      expected[1] += d * d;
    }
    EXPECT_LE(deviation(sums, expected), tolerance<float>());
  }
}

}  // namespace
