// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dino::config {

/// A frozen teacher, and the students that learn from it (dinov2, dinov3). Source: method.md 3.10.
struct Distill {
  std::string teacher;
  std::vector<std::string> students;
  std::vector<std::int64_t> ranks;
  std::optional<std::int64_t> micro_batch;
  void visit(auto&& field) {
    field("teacher", teacher,
          "checkpoint whose teacher makes the targets, frozen, with heads of its own; empty: the "
          "student's EMA makes them");
    field("students", students,
          "TOML files of students that learn at once, each laid over this one; paths are relative "
          "to it; empty: this file is the student");
    field("ranks", ranks, "consecutive ranks of each of distill.students, >= 1");
    field("micro_batch", micro_batch,
          "images per rank and pass of a teacher that several students share, >= 1; unset: the "
          "rank's whole share of the batch");
  }
};

}  // namespace dino::config
