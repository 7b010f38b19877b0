// SPDX-License-Identifier: Apache-2.0
// The graphs of cuDNN's attention without a device: cuDNN's heuristics know engines for them on the
// devices whose properties are in devices/.
#include "kernels/cuda/flash_attention.hpp"

#include <gtest/gtest.h>

#include "unit/kernels/device_properties.hpp"

using namespace dino::cuda;

namespace {

class FlashGraphs : public testing::TestWithParam<char const*> {};

TEST_P(FlashGraphs, HaveEnginesForTheShapesOfTraining) {
  auto const properties = dino::test::properties_of(GetParam());
  struct Sizes {
    std::int64_t images, heads, tokens, head_dim;
  };
  for (auto const& s : {Sizes{64, 6, 197, 64}, Sizes{128, 16, 257, 64}, Sizes{512, 16, 50, 64},
                        Sizes{13, 12, 37, 64}, Sizes{8, 32, 1029, 128}}) {
    for (auto const pass :
         {FlashPass::forward, FlashPass::backward, FlashPass::backward_accumulated}) {
      auto const graph = flash_graph({s.images, s.heads, s.tokens, s.head_dim, pass}, nullptr);
      EXPECT_GT(proposed_engines(graph, properties.get()).all, 0)
          << "pass " << static_cast<int>(pass) << ", " << s.tokens << " tokens";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, FlashGraphs, testing::Values("a100", "h200", "b200"));

TEST(FlashPlansTest, AreMadeOnceForEachShapeAndRememberedWhereThereIsNone) {
  FlashPlans plans;
  int made = 0;
  auto const none = [&](FlashShape const&) {
    ++made;
    return FlashPlans::Plan();
  };
  FlashShape const shape{4, 6, 197, 64, FlashPass::forward};
  auto other = shape;
  other.pass = FlashPass::backward;

  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(plans.find(shape, none).has_value());
    EXPECT_FALSE(plans.find(other, none).has_value());
  }

  EXPECT_EQ(made, 2);
}

TEST(FlashTakes, HeadsOfMultiplesOfEightChannelsUpTo128) {
  EXPECT_TRUE(flash_takes(8));
  EXPECT_TRUE(flash_takes(64));
  EXPECT_TRUE(flash_takes(128));
  EXPECT_FALSE(flash_takes(12));
  EXPECT_FALSE(flash_takes(136));
}

}  // namespace
