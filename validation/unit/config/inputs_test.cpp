// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "config/config.hpp"
#include "config/student_set.hpp"

namespace dino {
namespace {

std::filesystem::path folder() {
  char const* const source = std::getenv("DINO_SOURCE_DIR");
  return std::filesystem::path(source == nullptr ? "." : source) / "inputs";
}

std::vector<std::filesystem::path> recipes() {
  std::vector<std::filesystem::path> found;
  for (auto const& entry : std::filesystem::directory_iterator(folder())) {
    if (entry.path().extension() == ".toml") found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

Config load(std::string const& name) {
  return load_config((folder() / (name + ".toml")).string(), {});
}

TEST(Inputs, AreValid) {
  auto const found = recipes();
  EXPECT_GE(found.size(), 7U);

  for (auto const& path : found) {
    SCOPED_TRACE(path);
    EXPECT_NO_THROW(load_config(path.string(), {}).validate());
  }
}

// What belongs to a machine or a user is given on the command line.
TEST(Inputs, NameNoPlaceOutsideTheirRun) {
  for (auto const& path : recipes()) {
    SCOPED_TRACE(path);
    std::ifstream file(path);
    std::string const text{std::istreambuf_iterator<char>(file), {}};
    EXPECT_EQ(text.find("\"/"), std::string::npos);
    EXPECT_EQ(text.find("$"), std::string::npos);
  }
}

TEST(Inputs, DoNotShareARunDirectory) {
  std::vector<std::string> directories;
  for (auto const& path : recipes()) directories.push_back(load_config(path.string(), {}).run.dir);

  std::sort(directories.begin(), directories.end());

  EXPECT_EQ(std::adjacent_find(directories.begin(), directories.end()), directories.end());
}

// Source: method.md 8.2.
TEST(Inputs, HoldThePublishedArgumentsOfDinov2) {
  Config const short16 = load("dinov2_vitl16_short"), l14 = load("dinov2_vitl14"),
               g14 = load("dinov2_vitg14");

  for (Config const* const config : {&short16, &l14, &g14}) {
    EXPECT_EQ(config->method, "dinov2");
    EXPECT_EQ(config->run.epoch_length, 1250);
    EXPECT_EQ(config->crops.blur, "gaussian");
    EXPECT_EQ(config->crops.blur_probability, (std::array<double, 3>{0.0, 0.9, 0.5}));
    EXPECT_EQ(config->student.layer_scale, 1e-5);
    EXPECT_TRUE(config->student.drop_path_uniform);
    EXPECT_FALSE(config->dino.norm_last_layer);
    EXPECT_EQ(config->koleo.loss_weight, 0.1);
    EXPECT_EQ(config->optim.lr_scaling, "sqrt_1024");
    EXPECT_EQ(config->optim.patch_embed_lr_mult, 0.2);
  }
  EXPECT_EQ(short16.data.batch_size, 2048);
  EXPECT_EQ(short16.dino.centering, "centering");
  EXPECT_FALSE(short16.ibot.separate_head);
  EXPECT_EQ(short16.optim.layerwise_decay, 0.9);
  EXPECT_EQ(l14.data.batch_size, 3072);
  EXPECT_EQ(l14.dino.out_dim, 131072);
  EXPECT_EQ(l14.dino.bottleneck_dim, 384);
  EXPECT_EQ(l14.ibot.centering, "sinkhorn_knopp");
  EXPECT_EQ(l14.optim.warmup_epochs, 80);
  EXPECT_EQ(g14.student.arch, "vit_giant2");
  EXPECT_EQ(g14.koleo.group_size, 12);
}

// Source: method.md 8.3.
TEST(Inputs, HoldThePublishedArgumentsOfTheHighResolutionStage) {
  Config const config = load("dinov3_vit7b16_high_res_adapt");

  EXPECT_EQ(config.data.batch_size, 2048);
  EXPECT_EQ(config.run.epochs * *config.run.epoch_length, 30000);
  auto const& pairs = config.crops.pairs;
  EXPECT_EQ(pairs.global_size, (std::vector<std::int64_t>{512, 768, 768, 768, 768}));
  EXPECT_EQ(pairs.local_size, (std::vector<std::int64_t>{112, 112, 168, 224, 336}));
  EXPECT_EQ(pairs.gram_teacher_crops_size,
            (std::vector<std::int64_t>{768, 1152, 1152, 1152, 1152}));
  EXPECT_EQ(pairs.ratio, (std::vector<double>{0.3, 0.3, 0.3, 0.05, 0.05}));
  EXPECT_EQ(config.gram.loss_weight, 1.5);
  EXPECT_FALSE(config.gram.rep_update);
  EXPECT_EQ(config.koleo.group_size, 16);
  EXPECT_EQ(config.optim.freeze_last_layer_epochs, 0);
  auto second = load("dinov3_vit7b16_gram_anchor");
  EXPECT_EQ(to_toml(Config{.student = config.student}), to_toml(Config{.student = second.student}));
}

// Source: method.md 8.3.
TEST(Inputs, HoldThePublishedStudentsOfDinov3) {
  auto const set = load_students((folder() / "dinov3_distill.toml").string(), {});

  EXPECT_EQ(set.ranks, (std::vector<std::int64_t>{48, 48, 80, 120}));
  std::vector<std::string> architectures, directories;
  for (auto const& student : set.students) {
    architectures.push_back(student.student.arch + " " + student.student.ffn);
    directories.push_back(student.run.dir);
    EXPECT_EQ(student.data.batch_size, 1920);
    EXPECT_EQ(student.dino.out_dim, load("dinov3_vit7b16_pretrain").dino.out_dim);
    EXPECT_EQ(student.ibot.out_dim, load("dinov3_vit7b16_pretrain").ibot.out_dim);
    EXPECT_EQ(student.optim.layerwise_decay, 0.99);
    EXPECT_NEAR(*student.schedules.lr.end, 5e-5 * 4 * std::sqrt(888 / 1024.0), 1e-8);
  }
  EXPECT_EQ(architectures, (std::vector<std::string>{"vit_small mlp", "vit_small swiglu",
                                                     "vit_base mlp", "vit_large mlp"}));
  EXPECT_EQ(directories.back(), "runs/dinov3_distill_vitl16");
}

// Source: method.md 8.1, the rows of the released models.
TEST(Inputs, HoldTheReleasedArguments) {
  Config const s16 = load("dinov1_vits16"), s8 = load("dinov1_vits8"), b16 = load("dinov1_vitb16"),
               b8 = load("dinov1_vitb8");

  for (Config const* const config : {&s16, &s8, &b16, &b8}) {
    EXPECT_EQ(config->crops.local_count, 10);
    EXPECT_EQ(config->crops.global_scale, (std::array<double, 2>{0.25, 1.0}));
    EXPECT_EQ(config->crops.local_scale, (std::array<double, 2>{0.05, 0.25}));
    EXPECT_EQ(config->dino.out_dim, 65536);
    EXPECT_EQ(config->dino.teacher_temp, 0.07);
    EXPECT_EQ(config->optim.momentum_teacher, 0.996);
    EXPECT_EQ(config->optim.weight_decay_end, 0.4);
    EXPECT_EQ(config->optim.warmup_epochs, 10);
  }
  EXPECT_EQ(s16.run.epochs, 800);
  EXPECT_EQ(s16.optim.clip_grad, 0.0);
  EXPECT_FALSE(s16.dino.norm_last_layer);
  EXPECT_EQ(s8.student.patch_size, 8);
  EXPECT_EQ(b16.optim.lr, 7.5e-4);
  EXPECT_EQ(b16.optim.clip_grad, 0.3);
  EXPECT_TRUE(b16.dino.norm_last_layer);
  EXPECT_EQ(b8.data.batch_size, 1056);
  EXPECT_EQ(b8.dino.warmup_teacher_temp, 0.03);
  EXPECT_EQ(b8.optim.freeze_last_layer_epochs, 3);
}

// Source: method.md 8.1, the row of the released ResNet-50.
TEST(Inputs, HoldTheReleasedArgumentsOfTheResNet) {
  Config const c = load("dinov1_resnet50");

  EXPECT_EQ(c.student.arch, "resnet50");
  EXPECT_EQ(c.run.epochs, 800);
  EXPECT_EQ(c.data.batch_size, 80 * 51);
  EXPECT_EQ(c.dino.out_dim, 60000);
  EXPECT_TRUE(c.dino.use_bn_in_head);
  EXPECT_TRUE(c.dino.norm_last_layer);
  EXPECT_EQ(c.dino.warmup_teacher_temp, 0.04);
  EXPECT_EQ(c.dino.teacher_temp, 0.07);
  EXPECT_EQ(c.dino.warmup_teacher_temp_epochs, 50);
  EXPECT_EQ(c.optim.optimizer, "lars");
  EXPECT_EQ(c.optim.lr, 0.3);
  EXPECT_EQ(c.optim.weight_decay, 1e-6);
  EXPECT_EQ(c.optim.weight_decay_end, 1e-6);
  EXPECT_EQ(c.optim.clip_grad, 0.0);
}

}  // namespace
}  // namespace dino
