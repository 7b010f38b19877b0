// SPDX-License-Identifier: Apache-2.0
#include "optim/parameter_groups.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace dino::optim {
namespace {

constexpr double nine_digits = 5e-9;  // relative rounding of the printed values below

void expect_nine_digits(double actual, double expected) {
  EXPECT_LE(std::abs(actual - expected), nine_digits * expected) << actual;
}

TEST(ParameterGroup, DecaysTheLearningRateLayerByLayer) {
  LayerwiseDecay const large{.depth = 24, .decay = 0.9, .patch_embed = 0.2};
  auto const lr = [&](char const* name) { return parameter_group(name, large).lr; };

  expect_nine_digits(lr("backbone.patch_embed.proj.weight"), 0.0143579598);
  expect_nine_digits(lr("backbone.patch_embed.proj.bias"), 0.0143579598);
  expect_nine_digits(lr("backbone.cls_token"), 0.0717897988);
  expect_nine_digits(lr("backbone.pos_embed"), 0.0717897988);
  expect_nine_digits(lr("backbone.blocks.0.attn.qkv.weight"), 0.0797664431);
  expect_nine_digits(lr("backbone.blocks.23.mlp.fc2.bias"), 0.9);
  EXPECT_EQ(lr("backbone.norm.weight"), 1.0);
  EXPECT_EQ(lr("dino_head.mlp.0.weight"), 1.0);
}

TEST(ParameterGroup, DecaysTheSevenBillionModelOfV3) {
  LayerwiseDecay const huge{
      .rules = GroupRules::v3, .depth = 40, .decay = 0.98, .patch_embed = 0.2};
  auto const lr = [&](char const* name) { return parameter_group(name, huge).lr; };

  expect_nine_digits(lr("backbone.patch_embed.proj.weight"), 0.0873572792);
  expect_nine_digits(lr("backbone.storage_tokens"), 0.4367863959);
  expect_nine_digits(lr("backbone.blocks.0.norm1.weight"), 0.4457004040);
}

TEST(ParameterGroup, SparesBiasesNormsAndLayerScaleFromDecay) {
  LayerwiseDecay const v2{};
  LayerwiseDecay const v3{.rules = GroupRules::v3};
  auto const decay = [](char const* name, LayerwiseDecay const& layers) {
    return parameter_group(name, layers).weight_decay;
  };

  for (auto const* name : {"backbone.blocks.1.attn.qkv.bias", "backbone.blocks.1.norm1.weight",
                           "backbone.blocks.1.ls1.gamma", "backbone.norm.bias"}) {
    EXPECT_EQ(decay(name, v2), 0.0) << name;
    EXPECT_EQ(decay(name, v3), 0.0) << name;
  }
  for (auto const* name : {"backbone.cls_token", "backbone.pos_embed", "backbone.mask_token",
                           "dino_head.last_layer.weight_g", "backbone.blocks.1.mlp.fc1.weight"}) {
    EXPECT_EQ(decay(name, v2), 1.0) << name;
    EXPECT_EQ(decay(name, v3), 1.0) << name;
  }
  EXPECT_EQ(decay("backbone.fourier_w", v2), 1.0);
  EXPECT_EQ(decay("backbone.fourier_w", v3), 0.0);
  EXPECT_EQ(decay("backbone.k_bias", v2), 1.0);
  EXPECT_EQ(decay("backbone.k_bias", v3), 0.0);
}

TEST(ParameterGroup, KnowsTheLastLayer) {
  EXPECT_TRUE(parameter_group("dino_head.last_layer.weight_v", {}).last_layer);
  EXPECT_FALSE(parameter_group("dino_head.mlp.4.weight", {}).last_layer);
}

}  // namespace
}  // namespace dino::optim
