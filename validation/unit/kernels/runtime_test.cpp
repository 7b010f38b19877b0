// SPDX-License-Identifier: Apache-2.0
#include "kernels/runtime.hpp"

#include <cmath>
#include <limits>

#include "kernels/activation.hpp"
#include "kernels/bench.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/norm.hpp"
#include "kernels/softmax.hpp"
#include "unit/kernels/kernel_test.hpp"

using namespace dino;
using namespace dino::test;

namespace {

TEST(KernelRuntimeTest, RefusesNoThreadsAndMayBeMadeTwice) {
  EXPECT_EQ(refusal([] { KernelRuntime(0); }), "invalid number of threads: 0 (must be at least 1)");
  std::vector<float> y(3);
  KernelRuntime const first(1);
  KernelRuntime const second(1);

  run(space, Fill<float>{as<1>(y, {3}), 2.0F});

  EXPECT_EQ(y, std::vector<float>(3, 2.0F));
}

TEST(Operations, LetNotANumberThrough) {
  auto x = random_values<float>(67, 1);
  x[40] = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> const ones(67, 1.0F), uniform(2 * 67, 1.0F / 67);
  std::vector<float> gelu(67), norm(67), softmax(67), crops(2 * 67), dlogits(2 * 67);
  std::vector<double> loss(1);
  std::copy(x.begin(), x.end(), crops.begin());

  run(space, GeluForward<float>{as<2>(std::as_const(x), {1, 67}), as<2>(gelu, {1, 67})});
  run(space, LayerNormForward<float>{as<2>(std::as_const(x), {1, 67}),
                                     as<1>(ones, {67}),
                                     as<1>(ones, {67}),
                                     as<2>(norm, {1, 67}),
                                     {},
                                     {}});
  run(space, CenteredSoftmax{as<2>(std::as_const(x), {1, 67}), as<1>(ones, {67}), 0.1F,
                             as<2>(softmax, {1, 67})});
  run(space, DinoCrossEntropy<float>{.student = as<2>(std::as_const(crops), {2, 67}),
                                     .teacher = as<2>(uniform, {2, 67}),
                                     .batch = 1,
                                     .dlogits = as<2>(dlogits, {2, 67}),
                                     .loss = as<1>(loss, {1})});

  EXPECT_TRUE(std::isnan(gelu[40]));
  EXPECT_FALSE(std::isnan(gelu[39]));
  EXPECT_TRUE(std::isnan(norm[0]));
  EXPECT_TRUE(std::isnan(softmax[0]));
  EXPECT_TRUE(std::isnan(loss[0]));
}

TEST(Bench, TimesProductsAndAttention) {
  for (auto const precision : {Precision::fp32, Precision::bf16}) {
    auto const gemm = measure_gemm(Host{}, precision, 17, 9, 5, 1e-4);
    auto const attention = measure_attention(Host{}, precision, 2, 3, 2, 5, 1e-4);
    EXPECT_GT(gemm.forward, 0);
    EXPECT_GT(gemm.backward_input, 0);
    EXPECT_GT(gemm.backward_weight, 0);
    EXPECT_GT(attention.forward, 0);
    EXPECT_GT(attention.backward, 0);
  }
  EXPECT_THAT(refusal([] { measure_gemm(Host{}, Precision::fp32, 0, 1, 1, 1); }),
              testing::HasSubstr("must be at least 1"));
}

}  // namespace
