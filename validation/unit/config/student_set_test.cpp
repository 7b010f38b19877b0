// SPDX-License-Identifier: Apache-2.0
// Several students of one teacher: files laid over one another, and what they must share.
#include "config/student_set.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.hpp"

namespace dino {
namespace {

constexpr char const* set_toml = R"(method = "dinov3"
[student]
drop_path_rate = 0
[optim]
lr = 1e-4
[distill]
teacher = "teacher.h5"
students = ["a.toml", "b.toml"]
ranks = [1, 3]
)";

void write(std::string const& name, std::string const& text) {
  std::filesystem::create_directories("students");
  std::ofstream("students/" + name) << text;
}

StudentSet load(std::string const& b, std::vector<std::string> const& overrides = {}) {
  write("set.toml", set_toml);
  write("a.toml", "[run]\ndir = \"a\"\n[student]\narch = \"vit_tiny\"\n");
  write("b.toml", b);
  return load_students("students/set.toml", overrides);
}

std::string refusal(std::string const& b, std::vector<std::string> const& overrides = {}) {
  try {
    load(b, overrides);
  } catch (Error const& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "";
}

constexpr char const* good = "[run]\ndir = \"b\"\n[optim]\nlr = 2e-4\n";

TEST(StudentSetTest, LaysStudentsOverTheFileThatListsThem) {
  auto const set = load(good, {"data.batch_size=64", "optim.beta1=0.5"});

  ASSERT_EQ(set.students.size(), 2U);
  auto const &a = set.students[0], &b = set.students[1];
  EXPECT_EQ(a.run.dir, "a");
  EXPECT_EQ(a.student.arch, "vit_tiny");
  EXPECT_EQ(a.optim.lr, 1e-4);
  EXPECT_EQ(b.run.dir, "b");
  EXPECT_EQ(b.student.arch, "vit_small");
  EXPECT_EQ(b.optim.lr, 2e-4);
  for (auto const* const student : {&a, &b}) {
    EXPECT_EQ(student->method, "dinov3");
    EXPECT_EQ(student->data.batch_size, 64);
    EXPECT_EQ(student->optim.beta1, 0.5);
    EXPECT_EQ(student->distill.teacher, "teacher.h5");
    EXPECT_TRUE(student->distill.students.empty());
    // What a student's run directory and checkpoints say can be trained alone.
    EXPECT_EQ(to_toml(parse_config(to_toml(*student), "saved", {})), to_toml(*student));
  }
}

TEST(StudentSetTest, GivesConsecutiveRanks) {
  auto const set = load(good);
  std::vector<std::size_t> parts;
  for (int rank = 0; rank < 4; ++rank) parts.push_back(set.part_of(rank, 4));

  EXPECT_EQ(parts, (std::vector<std::size_t>{0, 1, 1, 1}));
  EXPECT_THROW(
      try { set.part_of(0, 3); } catch (Error const& error) {
        EXPECT_STREQ(error.what(),
                     "invalid distill.ranks=[1, 3] (they add up to 4, and the run has 3 ranks). "
                     "Start 4 ranks, or change distill.ranks");
        throw;
      },
      Error);
}

TEST(StudentSetTest, IsOneStudentWhereNoneIsListed) {
  write("alone.toml", "method = \"dinov2\"\n[crops]\nlocal_size = 64\n");

  auto const set = load_students("students/alone.toml", {});

  ASSERT_EQ(set.students.size(), 1U);
  EXPECT_EQ(set.students[0].method, "dinov2");
  EXPECT_EQ(set.part_of(5, 7), 0U);
}

TEST(StudentSetTest, RefusesWhatStudentsMustShare) {
  EXPECT_EQ(refusal(good), "");
  EXPECT_EQ(refusal("[run]\ndir = \"b\"\n[data]\nbatch_size = 7\n"),
            "invalid data.batch_size=7 of the student of run.dir=\"b\" (that of run.dir=\"a\" has "
            "1024; students of one teacher share it). Set it once, in the file that lists "
            "distill.students");
  for (std::string const text :
       {"[crops]\nlocal_count = 2\n", "[ibot]\nmask_ratio = [0.1, 0.2]\n", "[run]\nseed = 1\n",
        "[run]\nsteps = 5\n", "[student]\npatch_size = 14\n", "[ibot]\nloss_weight = 0\n",
        "[distill]\nteacher = \"other.h5\"\n", "[checkpoint]\nevery = 3\n"}) {
    auto const run = text.starts_with("[run]") ? "[run]\ndir = \"b\"\n" + text.substr(6)
                                               : "[run]\ndir = \"b\"\n" + text;
    EXPECT_NE(refusal(run).find("students of one teacher share it"), std::string::npos) << text;
  }
  EXPECT_EQ(refusal("[run]\ndir = \"b\"\n[data]\nworkers = 3\n[dino]\nhidden_dim = 64\n"), "");
}

TEST(StudentSetTest, RefusesStudentsThatDisturbEachOther) {
  EXPECT_EQ(refusal("[run]\ndir = \"./x/../a\"\n"),
            "invalid run.dir=\"./x/../a\" (two of distill.students have it). Give each its own, in "
            "its file");
  EXPECT_NE(refusal(good, {"run.dir=both"}).find("two of distill.students have it"),
            std::string::npos);
  EXPECT_EQ(refusal(std::string(good) + "[checkpoint]\nkeep_last = 1\n"),
            "invalid checkpoint.keep_last=1 (must be >= 2 with distill.students: a kill may leave "
            "the newest to some of them). Try checkpoint.keep_last=2");
  EXPECT_EQ(refusal(std::string(good) + "[distill]\nstudents = [\"c.toml\"]\n"),
            "'students/b.toml' names distill.students or distill.ranks, but is itself one of "
            "distill.students. Remove them there");
  EXPECT_NE(refusal(std::string(good) + "[student]\ndrop_path_rate = 0.3\n")
                .find("invalid student.drop_path_rate=0.3"),
            std::string::npos);
}

}  // namespace
}  // namespace dino
