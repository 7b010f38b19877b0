// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "model/dino_head.hpp"
#include "model/vit.hpp"
#include "shard/store.hpp"
#include "train/teacher_source.hpp"

namespace dino::train {

/// Ranks, and how a model is spread over them.
struct Spread {
  Communicator ranks;
  shard::Strategy strategy;
};

/// A model with heads of its own that makes the targets of a student and never changes. Its passes
/// run on ranks that several students may share; its prototypes, where the losses are, on those of
/// one student. Source: DINOv3, arXiv:2508.10104, sec. 5.2; method.md 3.10.
template <class T>
class FrozenTeacher {
 public:
  using Store = shard::ParameterStore<T>;

  /// \param student  ranks of the student, for the prototypes; backbone and MLPs of the heads are
  /// spread over all ranks where students share the passes, else alike
  FrozenTeacher(Space const& space, Spread const& student, TeacherSource source);
  FrozenTeacher(FrozenTeacher const&) = delete;
  FrozenTeacher& operator=(FrozenTeacher const&) = delete;

  /// Reads the weights. Collective over all ranks. \throws Error (input) where the file is damaged
  /// or lacks some
  void load();
  /// First values, for measurements without a checkpoint.
  void initialize(std::uint64_t seed);

  TeacherSource const& source() const { return source_; }
  Vit<T>& backbone() { return backbone_; }
  DinoHead<T>& head() { return head_; }
  /// Of masked patches: its own, or the DINO head.
  DinoHead<T>& patch_head() { return ibot_head_ ? *ibot_head_ : head_; }
  /// Of the passes, and of the prototypes.
  std::array<Store*, 2> stores() { return {&store_, &prototypes_}; }

 private:
  Communicator all_;
  TeacherSource source_;
  Store store_, prototypes_;
  Vit<T> backbone_;
  DinoHead<T> head_;
  std::optional<DinoHead<T>> ibot_head_;
};

}  // namespace dino::train
