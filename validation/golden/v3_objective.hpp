// SPDX-License-Identifier: Apache-2.0
// What /config of a golden file of the kind step says of DINOv3's losses and their weights.
#pragma once
#include "golden/golden_file.hpp"
#include "train/dinov2_step.hpp"

namespace dino::golden {

/// Pairs, KoLeo and Gram of DINOv3, in place of those of DINOv2.
void take_v3_objective(GoldenFile const& file, train::DinoV2Objective& objective);

/// Weights of the local DINO loss and of the Gram loss at an iteration.
void take_v3_weights(GoldenFile const& file, train::StepSettings& settings);

}  // namespace dino::golden
