// SPDX-License-Identifier: Apache-2.0
// A frozen teacher must fit its student; what does not is refused with both keys.
#include "train/teacher_source.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "unit/kernels/kernel_test.hpp"

namespace dino::train {
namespace {

constexpr char const* accepted = "nothing was thrown";

using Overrides = std::vector<std::string>;

Config config_of(Overrides const& overrides) {
  return parse_config(
      "method = \"dinov3\"\n[student]\narch = \"vit_tiny\"\ndrop_path_rate = 0\n[dino]\nout_dim = "
      "64\n[ibot]\nout_dim = 32\n",
      "test", overrides);
}

/// What is said of a teacher with these keys for a student with those.
std::string refusal(Overrides const& teacher, Overrides student) {
  std::ofstream("teacher.toml") << to_toml(config_of(teacher));
  student.push_back("distill.teacher=teacher.toml");
  auto const config = config_of(student);
  config.validate();
  return test::refusal([&] { find_teacher(Communicator::self(), config); });
}

TEST(TeacherSourceTest, GivesTheTeachersSizes) {
  EXPECT_FALSE(find_teacher(Communicator::self(), config_of({})));
  EXPECT_EQ(refusal({"student.embed_dim=384", "student.num_heads=6", "dino.bottleneck_dim=512",
                     "student.registers=4"},
                    {}),
            accepted);

  auto const source =
      find_teacher(Communicator::self(), config_of({"distill.teacher=teacher.toml"}));

  EXPECT_EQ(source->shape.backbone.embed_dim, 384);
  EXPECT_EQ(source->shape.backbone.registers, 4);
  EXPECT_EQ(source->shape.head.bottleneck_dim, 512);
  EXPECT_TRUE(source->shape.ibot_head);
  EXPECT_EQ(source->checksum, -1);
}

TEST(TeacherSourceTest, RefusesWhatDoesNotFit) {
  EXPECT_EQ(refusal({"dino.out_dim=128"}, {}),
            "invalid dino.out_dim=64 (the teacher 'teacher.toml' has dino.out_dim=128, and both "
            "compare themselves on the same prototypes). Try dino.out_dim=128");
  EXPECT_EQ(refusal({"ibot.out_dim=48"}, {}),
            "invalid ibot.out_dim=32 (the teacher 'teacher.toml' has ibot.out_dim=48, and both "
            "compare themselves on the same prototypes). Try ibot.out_dim=48");
  EXPECT_EQ(refusal({"ibot.out_dim=48"}, {"ibot.loss_weight=0"}), accepted);
  EXPECT_EQ(refusal({"ibot.loss_weight=0"}, {}),
            "invalid ibot.loss_weight=1 (the teacher 'teacher.toml' was trained with "
            "ibot.loss_weight=0 and knows nothing of masked patches). Try ibot.loss_weight=0");
  EXPECT_EQ(refusal({"method=dinov2", "crops.local_size=64"}, {}),
            "invalid ibot.separate_head=false (the teacher 'teacher.toml' has no head of its own "
            "for patches). Try ibot.separate_head=false");
  EXPECT_EQ(
      refusal({"student.patch_size=14"}, {}),
      "invalid student.patch_size=16 (global crops of 224 pixels have 14 x 14 patches of it, and "
      "16 x 16 of the teacher 'teacher.toml' with student.patch_size=14). Try "
      "student.patch_size=14");
  EXPECT_EQ(refusal({"crops.mean=[0, 0, 0]"}, {}),
            "invalid crops.mean=[0.485, 0.456, 0.406] (the teacher 'teacher.toml' was trained with "
            "crops.mean=[0, 0, 0] and sees the same pixels). Try crops.mean=[0, 0, 0]");
  EXPECT_EQ(refusal({"method=dinov1"}, {}),
            "invalid distill.teacher=\"teacher.toml\" (it was trained with method=dinov1; a frozen "
            "teacher is one of dinov2 or dinov3)");
}

// 32 pixels hold 4 x 4 patches of 8, and of 7 with a rest that DINOv3 drops, but 5 x 5 of 6.
TEST(TeacherSourceTest, TakesAnotherPatchSizeWhereTheGridIsTheSame) {
  Overrides const student{"student.patch_size=8", "crops.global_size=32", "crops.local_size=16"};
  EXPECT_EQ(refusal({"student.patch_size=7", "crops.global_size=28"}, student), accepted);
  EXPECT_NE(refusal({"student.patch_size=6", "crops.global_size=24"}, student), accepted);
}

TEST(TeacherSourceTest, NamesTheFileThatIsMissing) {
  auto const config = config_of({"distill.teacher=nowhere.h5"});

  auto const said = test::refusal([&] { find_teacher(Communicator::self(), config); });

  EXPECT_NE(said.find("nowhere.h5"), std::string::npos) << said;
}

}  // namespace
}  // namespace dino::train
