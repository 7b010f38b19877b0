// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "config/crop_sizes.hpp"
#include "train/teacher_source.hpp"
#include "train/training_step.hpp"

namespace dino::train {

/// The step of the method that a configuration names.
/// \param teacher  frozen, of the same configuration (find_teacher); its weights are to be loaded
template <class T>
std::unique_ptr<TrainingStep<T>> make_step(Space const& space, Communicator const& world,
                                           shard::Strategy const& strategy, Config const& config,
                                           std::optional<TeacherSource> const& teacher = {});

/// Masks of global crops of `global_size` pixels, of a method that has masks. \throws Error (usage)
std::optional<MaskMaker> make_masks(Config const& config, std::int64_t global_size);

/// Masks of all sizes of global crops that steps may have, by size; empty: the method has none.
using MaskMakers = std::map<std::int64_t, MaskMaker>;
/// \throws Error (usage)
MaskMakers make_masks(Config const& config);

/// Bytes of arena and floating-point operations of matrix products that one step of one rank needs:
/// a dry run with all images of drop path and the most masked patches.
struct StepCost {
  std::int64_t arena_bytes = 0;
  std::int64_t logits_bytes = 0;  ///< of these, matrices over prototypes
  double matrix_flops = 0;
};
/// \param images  of a micro-batch, at most
template <class T>
StepCost step_cost(Config const& config, config::CropSizes const& sizes, std::int64_t images,
                   std::int64_t micro_batches, std::optional<TeacherSource> const& teacher = {},
                   Processor processor = Processor::host);

/// The same of all sizes that steps may have: bytes of those that take most, and operations on
/// average over the steps.
template <class T>
StepCost step_cost(Config const& config, std::int64_t images, std::int64_t micro_batches,
                   std::optional<TeacherSource> const& teacher = {},
                   Processor processor = Processor::host);

/// A micro-batch of a dry run: extents without values, and the longest lists of masked patches.
StepBatch dry_batch(Config const& config, ModelShape const& shape, config::CropSizes const& sizes,
                    std::int64_t images);

/// What one rank computes and moves in one step: a dry run of a typical step, on the rank with most
/// images, with the draws of drop path and masks of the run's first step.
struct StepWork {
  double matrix_flops = 0;
  Traffic group;     ///< among the ranks that share one copy of the parameters
  Traffic replicas;  ///< among the ranks that hold the same part of other copies
  Traffic world;     ///< among all
  /// Adds a share of another step's.
  void add(StepWork const& other, double share);
};
/// \throws Error (usage) where the strategy does not fit the number of ranks
template <class T>
StepWork step_work(Config const& config, config::CropSizes const& sizes, int ranks,
                   std::optional<TeacherSource> const& teacher = {});
/// The same of a step over these batches, whose pixels are not read.
template <class T>
StepWork step_work(Config const& config, int ranks, std::int64_t global_batch,
                   StepBatchSource const& source, std::optional<TeacherSource> const& teacher = {});

}  // namespace dino::train
