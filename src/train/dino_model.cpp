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
    Architecture{"vit_tiny", 192, 12, 3},     Architecture{"vit_small", 384, 12, 6},
    Architecture{"vit_base", 768, 12, 12},    Architecture{"vit_large", 1024, 24, 16},
    Architecture{"vit_giant2", 1536, 40, 24},
};

/// Width of the feed-forward branch. Source: method.md 1.1 (SwiGLU: v2's rule).
std::int64_t ffn_width(config::Student const& student, std::int64_t embed_dim) {
  auto const hidden = static_cast<std::int64_t>(static_cast<double>(embed_dim) * student.mlp_ratio);
  if (student.ffn == "mlp") return hidden;
  return (static_cast<std::int64_t>(static_cast<double>(hidden) * 2.0 / 3.0) + 7) / 8 * 8;
}

/// What DINOv2 adds: mask token, other first values, names of the heads, an iBOT head.
void shape_as_v2(Config const& config, ModelShape& shape) {
  shape.backbone.mask_token = true;
  shape.backbone.class_token_deviation = 1e-6F;  // method.md 1.9
  shape.head_prefix = "dino_head.";
  if (config.ibot.loss_weight == 0 || !config.ibot.separate_head) return;
  shape.ibot_head = DinoHeadShape{.in_dim = shape.backbone.embed_dim,
                                  .hidden_dim = config.ibot.hidden_dim,
                                  .bottleneck_dim = config.ibot.bottleneck_dim,
                                  .out_dim = config.ibot.out_dim,
                                  .nlayers = config.ibot.nlayers,
                                  .norm_last_layer = config.dino.norm_last_layer};
}

}  // namespace

ModelShape model_shape(Config const& config) {
  auto const it = std::find_if(architectures.begin(), architectures.end(),
                               [&](auto const& a) { return a.name == config.student.arch; });
  require(it != architectures.end(), ExitCode::usage,
          "unknown student.arch '{}' (must be vit_tiny, vit_small, vit_base, vit_large or "
          "vit_giant2)",
          config.student.arch);
  ModelShape shape;
  auto& b = shape.backbone;
  b.patch_size = config.student.patch_size;
  b.grid = config.crops.global_size / b.patch_size;
  b.embed_dim = config.student.embed_dim.value_or(it->embed_dim);
  b.depth = config.student.depth.value_or(it->depth);
  b.num_heads = config.student.num_heads.value_or(it->num_heads);
  b.ffn = config.student.ffn == "mlp" ? Ffn::mlp : Ffn::swiglu_packed;
  b.mlp_hidden = ffn_width(config.student, b.embed_dim);
  b.qkv_bias = config.student.qkv_bias;
  b.registers = config.student.registers;
  if (config.student.layer_scale) b.layer_scale = static_cast<float>(*config.student.layer_scale);
  b.interpolation = {.offset = config.student.interpolate_offset,
                     .antialias = config.student.interpolate_antialias};
  shape.head = {.in_dim = b.embed_dim,
                .hidden_dim = config.dino.hidden_dim,
                .bottleneck_dim = config.dino.bottleneck_dim,
                .out_dim = config.dino.out_dim,
                .nlayers = config.dino.nlayers,
                .norm_last_layer = config.dino.norm_last_layer};
  if (config.method == "dinov2") shape_as_v2(config, shape);
  return shape;
}

std::vector<shard::UnitSpec> model_units(ModelShape const& shape) {
  auto units = vit_units(shape.backbone, "backbone.");
  auto head = dino_head_units(shape.head, shape.head_prefix);
  std::move(head.begin(), head.end(), std::back_inserter(units));
  if (shape.ibot_head) {
    auto ibot = dino_head_units(*shape.ibot_head, "ibot_head.");
    std::move(ibot.begin(), ibot.end(), std::back_inserter(units));
  }
  return units;
}

}  // namespace dino::train
