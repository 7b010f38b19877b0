// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "config/config.hpp"

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

}  // namespace
}  // namespace dino
