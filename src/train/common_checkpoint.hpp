// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <optional>

#include "train/checkpointing.hpp"

namespace dino::train {

/// As load_newest_checkpoint, of the newest step of which all students that are trained at once
/// have a good checkpoint. Collective over `all`, their ranks. \throws Error (usage) where one has
/// none and others are past their start
template <class T>
std::optional<Progress> load_common_checkpoint(TrainingStep<T>& step, Config const& config,
                                               Communicator const& all);

}  // namespace dino::train
