// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "io/checkpoint.hpp"
#include "train/training_step.hpp"

namespace dino::train {

/// Where a run stands.
struct Progress {
  std::int64_t step = 0;           ///< optimizer steps done
  std::int64_t dataset_size = 0;   ///< images in the data set that the sample order runs through
  std::int64_t mixed_in_size = 0;  ///< the same of the second data set; 0: there is none
  double mixed_in_share = 0;       ///< of the steps whose batches are of the second one
};

/// Writes student, teacher, Gram teacher, AdamW's moments and counts, centre and progress of `step`
/// as `checkpoint_<step>.h5` in the run directory, moves latest.h5 and applies retention.
/// Collective.
template <class T>
void save_checkpoint(TrainingStep<T>& step, Config const& config, Progress const& progress);

/// Loads the newest checkpoint of the run directory whose checksums hold; corrupt ones are named in
/// a warning and passed over. Nothing where there is none. A Gram teacher that the step has and the
/// checkpoint has not stays as it is. Collective.
/// \param at_most  step that the checkpoint may have
/// \throws Error (usage) where it belongs to another model or batch size, (input) where all are
/// corrupt
template <class T>
std::optional<Progress> load_newest_checkpoint(TrainingStep<T>& step, Config const& config,
                                               std::optional<std::int64_t> at_most = {});

/// Loads a former stage's checkpoint with all its state, to go on from its step. Where gram.ckpt is
/// set the Gram teacher stays as it is; one that this configuration has no use for is passed over.
/// Collective. \throws Error (usage) where it belongs to another model or batch size, (input) where
/// it is damaged
template <class T>
Progress load_former_stage(TrainingStep<T>& step, Config const& config, std::string const& path);

/// Reads the parts of one model ("student" or "teacher") that this rank holds. \throws Error
/// (input) naming file and array where one is missing or has another shape
template <class T>
void load_model(shard::ParameterStore<T>& store, std::string const& path, std::string const& group);

/// The configuration that a checkpoint was trained with. \throws Error (input)
Config checkpoint_config(std::string const& path);

}  // namespace dino::train
