// SPDX-License-Identifier: Apache-2.0
#include "train/dino_model.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <string_view>

#include "base/error.hpp"

namespace dino::train {
namespace {

struct Architecture {
  std::string_view name;
  std::int64_t embed_dim, depth, num_heads;
};

/// Published sizes. Source: method.md 1.1.
constexpr std::array architectures{
    Architecture{"vit_tiny", 192, 12, 3},
    Architecture{"vit_small", 384, 12, 6},
    Architecture{"vit_base", 768, 12, 12},
};

}  // namespace

ModelShape model_shape(Config const& config) {
  auto const it = std::find_if(architectures.begin(), architectures.end(),
                               [&](auto const& a) { return a.name == config.student.arch; });
  require(it != architectures.end(), ExitCode::usage,
          "unknown student.arch '{}' (must be vit_tiny, vit_small or vit_base)",
          config.student.arch);
  ModelShape shape;
  auto& b = shape.backbone;
  b.patch_size = config.student.patch_size;
  b.grid = config.crops.global_size / b.patch_size;
  b.embed_dim = config.student.embed_dim.value_or(it->embed_dim);
  b.depth = config.student.depth.value_or(it->depth);
  b.num_heads = config.student.num_heads.value_or(it->num_heads);
  b.mlp_hidden =
      static_cast<std::int64_t>(static_cast<double>(b.embed_dim) * config.student.mlp_ratio);
  b.qkv_bias = config.student.qkv_bias;
  shape.head = {.in_dim = b.embed_dim,
                .hidden_dim = config.dino.hidden_dim,
                .bottleneck_dim = config.dino.bottleneck_dim,
                .out_dim = config.dino.out_dim,
                .nlayers = config.dino.nlayers,
                .norm_last_layer = config.dino.norm_last_layer};
  return shape;
}

std::vector<shard::UnitSpec> model_units(ModelShape const& shape) {
  auto units = vit_units(shape.backbone, "backbone.");
  auto head = dino_head_units(shape.head, "head.");
  std::move(head.begin(), head.end(), std::back_inserter(units));
  return units;
}

}  // namespace dino::train
