// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "config/config.hpp"

namespace dino {

/// The students of a run, each with its whole configuration; one, unless distill.students names
/// several that learn from one teacher at once.
struct StudentSet {
  std::vector<Config> students;
  std::vector<std::int64_t> ranks = {};  ///< of each; empty: the one student has all

  /// Index of the student of a rank. \throws Error (usage) where a run has other ranks than `ranks`
  /// add up to
  std::size_t part_of(std::int64_t rank, std::int64_t of_ranks) const;
};

/// Reads a configuration and, where it names students, their files laid over it; overrides hold for
/// all of them. Valid, and alike in what the students share: data, crops, masks, length and
/// teacher. \throws Error (usage)
StudentSet load_students(std::string const& path, std::span<std::string const> overrides);

}  // namespace dino
