// SPDX-License-Identifier: Apache-2.0
#include "train/dino_model.hpp"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "base/error.hpp"
#include "config/architectures.hpp"

namespace dino::train {
namespace {

/// Width of the feed-forward branch. Source: method.md 1.1.
std::int64_t ffn_width(config::Student const& student, config::Architecture const& arch,
                       std::int64_t embed_dim) {
  auto const hidden = static_cast<std::int64_t>(static_cast<double>(embed_dim) *
                                                student.mlp_ratio.value_or(arch.mlp_ratio));
  if (student.ffn == "mlp") return hidden;
  // The digits of the name: what the width is rounded up to a multiple of; 8 where there are none.
  std::string const digits = student.ffn.substr(std::string_view("swiglu").size());
  std::int64_t const unit = digits.empty() ? 8 : std::stoll(digits);
  auto const width = static_cast<std::int64_t>(static_cast<double>(hidden) * 2.0 / 3.0);
  return (width + unit - 1) / unit * unit;
}

Rope rope_of(config::Student const& student) {
  Rope rope;
  if (student.rope_min_period) {
    rope = {.base = {},
            .min_period = *student.rope_min_period,
            .max_period = student.rope_max_period.value()};
  } else {
    rope.base = student.rope_base.value_or(100);
  }
  rope.normalize = rope_normalize(student.rope_normalize);
  return rope;
}

/// The head of the masked patches, where it is another one than the DINO head.
DinoHeadShape ibot_head_shape(Config const& config, ModelShape const& shape) {
  return {.in_dim = shape.backbone.embed_dim,
          .hidden_dim = config.ibot.hidden_dim,
          .bottleneck_dim = config.ibot.bottleneck_dim,
          .out_dim = config.ibot.out_dim,
          .nlayers = config.ibot.nlayers,
          .weight_norm = shape.head.weight_norm,
          .norm_last_layer = config.dino.norm_last_layer};
}

/// The DINO head, but for the width that it takes.
DinoHeadShape head_shape(Config const& config) {
  return {.hidden_dim = config.dino.hidden_dim,
          .bottleneck_dim = config.dino.bottleneck_dim,
          .out_dim = config.dino.out_dim,
          .nlayers = config.dino.nlayers,
          .batch_norm = config.dino.use_bn_in_head,
          .norm_last_layer = config.dino.norm_last_layer};
}

/// What DINOv2 adds: mask token, other first values, names of the heads, an iBOT head.
void shape_as_v2(Config const& config, ModelShape& shape) {
  shape.backbone.mask_token = true;
  shape.backbone.whole_patches = true;
  shape.backbone.class_token_deviation = 1e-6F;  // method.md 1.9
  shape.head_prefix = "dino_head.";
  if (config.ibot.loss_weight != 0 && config.ibot.separate_head)
    shape.ibot_head = ibot_head_shape(config, shape);
}

/// What DINOv3 has other than DINOv2: rotary positions, norms, and heads without weight norm, of
/// which each loss has its own. Source: method.md 1.3 to 1.9, 2.
void shape_as_v3(Config const& config, ModelShape& shape) {
  auto const& student = config.student;
  auto& b = shape.backbone;
  b.mask_token = true;
  b.mask_k_bias = student.mask_k_bias;
  b.register_name = "storage_tokens";
  if (b.ffn == Ffn::swiglu_packed) b.ffn = Ffn::swiglu;
  b.norm = student.norm_layer == "rmsnorm" ? Norm::rms : Norm::layer;
  b.norm_eps = student.norm_layer == "layernorm" ? 1e-6F : 1e-5F;
  b.untie_cls_and_patch_norms = student.untie_cls_and_patch_norms;
  b.untie_global_and_local_cls_norm = student.untie_global_and_local_cls_norm;
  b.rope = rope_of(student);
  shape.head_prefix = "dino_head.";
  shape.head.weight_norm = false;
  if (config.ibot.loss_weight != 0) shape.ibot_head = ibot_head_shape(config, shape);
}

/// The ResNet of a configuration; the ViT's shape stays empty.
ModelShape resnet_shape(Config const& config, config::ConvnetArchitecture const& arch) {
  ModelShape shape{.backbone = {.depth = 0}, .head = head_shape(config)};
  auto const width = config.student.embed_dim.value_or(arch.embed_dim);
  shape.resnet = ResNetShape{.blocks = arch.blocks, .width = width / 32};
  std::ranges::copy(config.student.stage_blocks, shape.resnet->blocks.begin());
  shape.head.in_dim = shape.resnet->dim();
  return shape;
}

}  // namespace

ModelShape model_shape(Config const& config) {
  if (auto const* const convnet = config::find_convnet(config.student.arch))
    return resnet_shape(config, *convnet);
  auto const* const arch = config::find_architecture(config.student.arch);
  require(arch != nullptr, ExitCode::usage, "unknown student.arch '{}'. See dino train --help",
          config.student.arch);
  ModelShape shape;
  auto& b = shape.backbone;
  b.patch_size = config.student.patch_size;
  b.grid = config.crops.global_size / b.patch_size;
  b.embed_dim = config.student.embed_dim.value_or(arch->embed_dim);
  b.depth = config.student.depth.value_or(arch->depth);
  b.num_heads = config.student.num_heads.value_or(arch->num_heads);
  b.ffn = config.student.ffn == "mlp" ? Ffn::mlp : Ffn::swiglu_packed;
  b.mlp_hidden = ffn_width(config.student, *arch, b.embed_dim);
  b.qkv_bias = config.student.qkv_bias;
  b.proj_bias = config.student.proj_bias;
  b.ffn_bias = config.student.ffn_bias;
  b.registers = config.student.registers;
  if (config.student.layer_scale) b.layer_scale = static_cast<float>(*config.student.layer_scale);
  b.interpolation = {.offset = config.student.interpolate_offset,
                     .antialias = config.student.interpolate_antialias};
  shape.head = head_shape(config);
  shape.head.in_dim = b.embed_dim;
  if (config.method == "dinov2") shape_as_v2(config, shape);
  if (config.method == "dinov3") shape_as_v3(config, shape);
  return shape;
}

RopeAugmentation rope_augmentation(Config const& config) {
  if (config.method != "dinov3") return {};
  return {.shift = config.student.rope_shift.value_or(0),
          .jitter = config.student.rope_jitter.value_or(1),
          .rescale = config.student.rope_rescale.value_or(1)};
}

std::vector<shard::UnitSpec> backbone_units(ModelShape const& shape, std::string const& prefix) {
  return shape.resnet ? resnet_units(*shape.resnet, prefix) : vit_units(shape.backbone, prefix);
}

template <class T>
std::unique_ptr<Backbone<T>> make_backbone(Space const& space, Communicator const& world,
                                           ModelShape const& shape, shard::ParameterStore<T>& store,
                                           int first_unit) {
  if (shape.resnet)
    return std::make_unique<ResNet<T>>(space, world, *shape.resnet, store, first_unit);
  return std::make_unique<Vit<T>>(space, shape.backbone, store, first_unit);
}

template <class T>
Vit<T>& as_vit(Backbone<T>& backbone) {
  auto* const vit = dynamic_cast<Vit<T>*>(&backbone);
  require(vit != nullptr, ExitCode::usage,
          "the backbone is a convnet, which has no patches as asked for here. Use a vision "
          "transformer");
  return *vit;
}

std::vector<shard::UnitSpec> model_units(ModelShape const& shape) {
  auto units = backbone_units(shape, "backbone.");
  auto head = dino_head_units(shape.head, shape.head_prefix);
  std::move(head.begin(), head.end(), std::back_inserter(units));
  if (shape.ibot_head) {
    auto ibot = dino_head_units(*shape.ibot_head, "ibot_head.");
    std::move(ibot.begin(), ibot.end(), std::back_inserter(units));
  }
  return units;
}

template <class T>
DinoModel<T>::DinoModel(Space const& space, Communicator const& world,
                        shard::ShardGroups const& groups, shard::Strategy const& strategy,
                        ModelShape const& shape, shard::Role role)
    : store(space, groups, strategy, model_units(shape), role),
      backbone(make_backbone<T>(space, world, shape, store, 0)),
      head(space, shape.head, store, static_cast<int>(backbone_units(shape, "").size()), world) {
  if (!shape.ibot_head) return;
  auto const heads = store.units() - static_cast<int>(dino_head_units(*shape.ibot_head, "").size());
  ibot_head.emplace(space, *shape.ibot_head, store, heads, world);
}

template <class T>
void DinoModel<T>::begin_step() {
  backbone->begin_step();
  head.begin_step();
}

template <class T>
void DinoModel<T>::finish_step(bool heads_only) {
  if (!heads_only) backbone->finish_step();
  head.finish_step();
}

template struct DinoModel<float>;
template struct DinoModel<bfloat16>;
template std::unique_ptr<Backbone<float>> make_backbone(Space const&, Communicator const&,
                                                        ModelShape const&,
                                                        shard::ParameterStore<float>&, int);
template std::unique_ptr<Backbone<bfloat16>> make_backbone(Space const&, Communicator const&,
                                                           ModelShape const&,
                                                           shard::ParameterStore<bfloat16>&, int);
template Vit<float>& as_vit(Backbone<float>&);
template Vit<bfloat16>& as_vit(Backbone<bfloat16>&);

}  // namespace dino::train
