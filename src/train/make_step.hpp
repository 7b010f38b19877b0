// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>

#include "config/config.hpp"
#include "train/training_step.hpp"

namespace dino::train {

/// The step of the method that a configuration names.
template <class T>
std::unique_ptr<TrainingStep<T>> make_step(Space const& space, Communicator const& world,
                                           shard::Strategy const& strategy, Config const& config);

/// Masks of a method that has them. \throws Error (usage)
std::optional<MaskMaker> make_masks(Config const& config);

/// Bytes of arena and floating-point operations of matrix products that one step of one rank needs:
/// a dry run with all images of drop path and the most masked patches.
struct StepCost {
  std::int64_t arena_bytes = 0;
  std::int64_t logits_bytes = 0;  ///< of these, matrices over prototypes
  double matrix_flops = 0;
};
/// \param images  of a micro-batch, at most
template <class T>
StepCost step_cost(Config const& config, std::int64_t images, std::int64_t micro_batches,
                   Processor processor = Processor::host);

}  // namespace dino::train
