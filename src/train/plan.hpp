// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <map>
#include <string>

#include "config/config.hpp"
#include "shard/store.hpp"
#include "train/dino_model.hpp"

namespace dino::train {

/// What a run takes, worked out by a dry run of the same code: nothing is computed or allocated.
/// Bytes and operations are those of the rank with the largest share.
struct Plan {
  int ranks = 1;
  std::map<std::string, std::int64_t> parameters;  ///< of the student: backbone, head, …
  shard::StoreBytes student, teacher;
  shard::StoreBytes gram_teacher;     ///< of its own, where there is one
  shard::StoreBytes frozen_teacher;   ///< where there is one
  std::int64_t activation_bytes = 0;  ///< the arena: activations, logits and scratch
  std::int64_t logits_bytes = 0;  ///< of these, matrices over prototypes: at most run.logits_mib
  std::int64_t images = 0;        ///< of a micro-batch
  std::int64_t micro_batches = 1;
  double matrix_flops = 0;  ///< of a step
  double gather_bytes = 0;  ///< received in all-gathers of a step
  double reduce_bytes = 0;  ///< sent in reduce-scatters and sums of a step

  std::int64_t total_bytes() const;
};

/// Parameters of a model by its parts: backbone, head, … Nothing is allocated.
std::map<std::string, std::int64_t> count_parameters(ModelShape const& shape);

/// A frozen teacher is described by its checkpoint, or by a TOML file in place of it.
/// \param all_ranks  of all students that share a frozen teacher; 0: there is one student
/// \throws Error (usage) where the strategy does not fit the number of ranks
Plan make_plan(Config const& config, int ranks, int all_ranks = 0);

}  // namespace dino::train
