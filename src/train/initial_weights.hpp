// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "train/training_step.hpp"

namespace dino::train {

/// What a checkpoint gave to a run that starts from it.
struct InitialWeights {
  bool heads = false;      ///< its heads fitted and were taken; else they have first values
  bool positions = false;  ///< its positions were resampled to another grid
};

/// Starts student and teacher from another run's checkpoint, or from one that holds a backbone
/// alone: the student from its student (or teacher), the teacher from its teacher (or student).
/// Positions of another grid are resampled once (bicubic, method.md 1.4); heads that are missing or
/// of other sizes keep the first values that `step.initialize` gave them. Collective.
/// \throws Error (usage) where the backbone does not fit, (input) where the file is damaged
template <class T>
InitialWeights load_initial_weights(TrainingStep<T>& step, std::string const& path);

/// Gives a Gram teacher that has no weights yet the backbone of a checkpoint's teacher (or of its
/// student, where there is no teacher). Collective. \return whether it did
/// \throws Error (usage) where the backbone does not fit, (input) where the file is damaged
template <class T>
bool load_gram_teacher(TrainingStep<T>& step, std::string const& path);
/// Whether the step has room for a Gram teacher of its own that got no weights so far.
template <class T>
bool lacks_gram_teacher(TrainingStep<T>& step);

}  // namespace dino::train
