// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "model/vit.hpp"
#include "shard/store.hpp"

namespace dino::train {

/// When the teacher becomes the Gram teacher, in iterations of the schedules.
struct GramLifeCycle {
  std::optional<std::int64_t> load_before;  ///< once, before this iteration; no update
  bool repeated = false;                    ///< and, as updates, after iterations:
  std::int64_t frequency = 1;               ///< whose number, counted from 1, this divides
  std::int64_t first = 0;                   ///< from this number on
  std::optional<std::int64_t> most;         ///< updates in all; unset: no limit

  /// Whether an update follows iteration `iteration` (from 0) where `updates` were done before.
  bool due_after(std::int64_t iteration, std::int64_t updates) const;
};

/// A frozen backbone, sharded as the teacher, to whose patch similarities the student is held.
/// Source: DINOv3, arXiv:2508.10104, sec. 4; method.md 3.8.
template <class T>
class GramTeacher {
 public:
  GramTeacher(Space const& space, shard::ShardGroups const& groups, shard::Strategy const& strategy,
              VitShape const& shape, GramLifeCycle const& life_cycle);
  GramTeacher(GramTeacher const&) = delete;
  GramTeacher& operator=(GramTeacher const&) = delete;

  /// Whether it has weights: those of a checkpoint or of the teacher.
  bool ready() const { return ready_; }
  std::int64_t updates() const { return updates_; }
  void before_step(shard::ParameterStore<T> const& teacher, std::int64_t iteration);
  void after_step(shard::ParameterStore<T> const& teacher, std::int64_t iteration);

  /// What a restart needs beside the weights: whether there are some, and the number of updates.
  std::vector<float> state() const;
  void set_state(std::vector<float> const& state);

  shard::ParameterStore<T>& store() { return store_; }
  Vit<T>& backbone() { return backbone_; }

 private:
  void copy_from(shard::ParameterStore<T> const& teacher);

  Space space_;
  shard::ParameterStore<T> store_;
  Vit<T> backbone_;
  GramLifeCycle life_cycle_;
  bool ready_ = false;
  std::int64_t updates_ = 0;
};

}  // namespace dino::train
