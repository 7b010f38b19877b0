// SPDX-License-Identifier: Apache-2.0
// Sizes of the published backbones, counted as `dino plan` counts them.
#include <gtest/gtest.h>

#include "train/plan.hpp"

namespace dino::train {
namespace {

// Source: method.md 1.1.
TEST(PublishedSizes, OfDinoAndDinov2AreThoseOfThePlan) {
  auto const backbone = [](std::string const& method, std::string const& arch, std::int64_t patch,
                           std::int64_t size, bool swiglu, std::int64_t registers = 0) {
    Config config;
    config.student.registers = registers;
    config.method = method;
    config.student.arch = arch;
    config.student.patch_size = patch;
    config.crops.global_size = size;
    if (method == "dinov2") {
      config.student.layer_scale = 1e-5;
      config.crops.local_size = 98;  // whole patches
    }
    if (swiglu) config.student.ffn = "swiglu";
    return count_parameters(model_shape(config)).at("backbone");
  };
  EXPECT_EQ(backbone("dinov1", "vit_tiny", 16, 224, false), 5524416);
  EXPECT_EQ(backbone("dinov1", "vit_small", 16, 224, false), 21665664);
  EXPECT_EQ(backbone("dinov1", "vit_small", 8, 224, false), 21670272);
  EXPECT_EQ(backbone("dinov1", "vit_base", 16, 224, false), 85798656);
  EXPECT_EQ(backbone("dinov1", "vit_base", 8, 224, false), 85807872);
  EXPECT_EQ(backbone("dinov2", "vit_small", 14, 518, false), 22056576);
  EXPECT_EQ(backbone("dinov2", "vit_base", 14, 518, false), 86580480);
  EXPECT_EQ(backbone("dinov2", "vit_large", 14, 518, false), 304368640);
  EXPECT_EQ(backbone("dinov2", "vit_large", 14, 224, true), 303655168);
  EXPECT_EQ(backbone("dinov2", "vit_giant2", 14, 518, true), 1136480768);
  EXPECT_EQ(backbone("dinov2", "vit_small", 14, 518, false, 4), 22058112);
  EXPECT_EQ(backbone("dinov2", "vit_base", 14, 518, false, 4), 86583552);
  EXPECT_EQ(backbone("dinov2", "vit_large", 14, 518, false, 4), 304372736);
  EXPECT_EQ(backbone("dinov2", "vit_giant2", 14, 518, true, 4), 1136486912);
}

// Source: method.md 1.1.
TEST(PublishedSizes, OfDinov3AreThoseOfThePlan) {
  auto const backbone = [](std::vector<std::string> overrides) {
    overrides.insert(overrides.begin(),
                     {"method=dinov3", "student.registers=4", "student.mask_k_bias=true",
                      "student.layer_scale=1e-5", "student.norm_layer=layernormbf16"});
    auto const config = parse_config("", "test", overrides);
    config.validate();
    return count_parameters(model_shape(config)).at("backbone");
  };
  std::string const swiglu = "student.ffn=swiglu", six = "student.mlp_ratio=6",
                    untied = "student.untie_global_and_local_cls_norm=true";
  EXPECT_EQ(backbone({"student.arch=vit_small"}), 21601152);
  EXPECT_EQ(backbone({"student.arch=vit_small", swiglu, six}), 28697472);
  EXPECT_EQ(backbone({"student.arch=vit_base"}), 85669632);
  EXPECT_EQ(backbone({"student.arch=vit_large"}), 303154176);
  EXPECT_EQ(backbone({"student.arch=vit_large", untied}), 303154176 + 2048);
  EXPECT_EQ(backbone({"student.arch=vit_large", swiglu, six}), 403915776);
  EXPECT_EQ(backbone({"student.arch=vit_huge2", swiglu, six}), 840633600);
  EXPECT_EQ(
      backbone({"student.arch=vit_7b", "student.ffn=swiglu64", "student.qkv_bias=false", untied}),
      6716043264);
}

TEST(PublishedSizes, WidthsOfTheSecondBranchFollowTheArchitecture) {
  auto const width = [](std::string const& arch, std::string const& ffn) {
    Config config;
    config.method = "dinov3";
    config.student.arch = arch;
    config.student.ffn = ffn;
    return model_shape(config).backbone.mlp_hidden;
  };
  EXPECT_EQ(width("vit_so400m", "mlp"), 4352);
  EXPECT_EQ(width("vit_giant2", "mlp"), 6144);
  EXPECT_EQ(width("vit_7b", "swiglu64"), 8192);
  EXPECT_EQ(width("vit_tiny", "swiglu"), 512);
  EXPECT_EQ(width("vit_so400m", "swiglu"), 2904);  // of 2901
  EXPECT_EQ(width("vit_so400m", "swiglu32"), 2912);
  EXPECT_EQ(width("vit_so400m", "swiglu64"), 2944);
  EXPECT_EQ(width("vit_so400m", "swiglu128"), 2944);
}

}  // namespace
}  // namespace dino::train
