// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/gemm_plans.hpp"

#include <gtest/gtest.h>

using namespace dino::cuda;

namespace {

GemmShape shape() {
  return {.m = 384, .n = 1970, .k = 1536, .lda = 1536, .ldb = 1536, .transpose_a = true};
}

/// Number of plans after asking for the two shapes, each twice.
std::size_t plans_of(GemmShape const& a, GemmShape const& b) {
  GemmPlans plans;
  int chosen = 0;
  auto const choose = [&](GemmShape const& s) {
    ++chosen;
    return GemmPlans::Plan(std::in_place, s);
  };
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(plans.find(a, choose).has_value());
    EXPECT_TRUE(plans.find(b, choose).has_value());
  }
  EXPECT_EQ(static_cast<std::size_t>(chosen), plans.size());
  return plans.size();
}

TEST(GemmPlansTest, AreChosenOnceForEachShape) {
  EXPECT_EQ(plans_of(shape(), shape()), 1U);
  auto other = shape();
  other.n = 1971;
  EXPECT_EQ(plans_of(shape(), other), 2U);
}

TEST(GemmPlansTest, DependOnAllThatAnAlgorithmDependsOn) {
  auto const differs = [](auto const& change) {
    auto other = shape();
    change(other);
    return plans_of(shape(), other) == 2;
  };
  EXPECT_TRUE(differs([](GemmShape& s) { s.transpose_b = true; }));
  EXPECT_TRUE(differs([](GemmShape& s) { s.input = CUDA_R_16BF; }));
  EXPECT_TRUE(differs([](GemmShape& s) { s.output = CUDA_R_16BF; }));
  EXPECT_TRUE(differs([](GemmShape& s) { s.accumulate = true; }));
  EXPECT_TRUE(differs([](GemmShape& s) { s.bias = true; }));
  EXPECT_TRUE(differs([](GemmShape& s) { s.align_d = 8; }));
}

TEST(GemmPlansTest, RememberThatThereIsNone) {
  GemmPlans plans;
  int asked = 0;
  auto const none = [&](GemmShape const&) {
    ++asked;
    return GemmPlans::Plan();
  };
  EXPECT_FALSE(plans.find(shape(), none).has_value());
  EXPECT_FALSE(plans.find(shape(), none).has_value());
  EXPECT_EQ(asked, 1);
}

TEST(AlignmentOf, IsThePowerOfTwoThatDividesTheAddress) {
  auto const at = [](std::uintptr_t address) {
    return alignment_of(reinterpret_cast<void const*>(address));
  };
  EXPECT_EQ(at(2), 2U);
  EXPECT_EQ(at(48), 16U);
  EXPECT_EQ(at(0x1000), 256U);
  EXPECT_EQ(at(0x1001), 1U);
}

}  // namespace
