// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string_view>

namespace dino::optim {

/// Which release's rules of weight decay hold.
enum class GroupRules { v2, v3 };

/// Factors of the learning rate by the depth of a parameter.
struct LayerwiseDecay {
  GroupRules rules = GroupRules::v2;
  std::int64_t depth = 12;   ///< blocks of the backbone
  double decay = 1.0;        ///< factor per level below the final norm, in (0, 1]
  double patch_embed = 1.0;  ///< further factor of the patch embedding
};

/// What one parameter makes of the scheduled values.
struct ParameterGroup {
  double lr = 1.0;            ///< times the scheduled learning rate
  double weight_decay = 1.0;  ///< times the scheduled weight decay: 0 or 1
  bool last_layer = false;    ///< follows the schedule of the last layer
};

/// Group of a parameter by its state-dict name with the part of the model in front, such as
/// "backbone.blocks.3.norm1.weight" or "dino_head.last_layer.weight_g". Source: method.md 6.2.
ParameterGroup parameter_group(std::string_view name, LayerwiseDecay const& layers);

}  // namespace dino::optim
