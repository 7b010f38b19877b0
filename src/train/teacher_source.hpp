// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "comm/communicator.hpp"
#include "config/config.hpp"
#include "train/dino_model.hpp"

namespace dino::train {

/// Passes of a frozen teacher that several students share: each rank makes those of its share of
/// the global batch over all ranks. Source: method.md 3.10.
struct SharedPasses {
  Communicator ranks;
  std::int64_t images = 0;  ///< of a micro-batch of any rank, at most
  std::int64_t micro_batches = 1;
};
/// \param all  the ranks of all students
SharedPasses shared_passes(Config const& config, Communicator const& all);

/// A model that is to be a frozen teacher, as its file describes it.
struct TeacherSource {
  std::string path;
  std::string group;           ///< of the checkpoint: "teacher", or "student" where there is none
  ModelShape shape;            ///< of the backbone and the heads that the student has too
  std::int64_t step = 0;       ///< of its training
  std::int64_t checksum = -1;  ///< of its weights; -1: there are none, it is for dry runs
  std::optional<SharedPasses> shared = {};  ///< unset: passes follow the student's micro-batches
};

/// What distill.teacher names; nothing where it is empty. A TOML file in place of a checkpoint
/// gives the sizes alone. Collective.
/// \param students  all ranks, where several students share the passes of a teacher
/// \throws Error (usage) where teacher and student do not fit
/// each other, (input) where the file cannot be read
std::optional<TeacherSource> find_teacher(Communicator const& world, Config const& config,
                                          std::optional<Communicator> const& students = {});

}  // namespace dino::train
