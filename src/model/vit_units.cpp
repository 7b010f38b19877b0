// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "base/error.hpp"
#include "model/vit.hpp"

namespace dino {
namespace {

using shard::Decay;
using shard::Init;
using shard::ParameterSpec;
using shard::UnitSpec;

void add_linear(std::vector<ParameterSpec>& table, std::string const& name, std::int64_t out,
                std::int64_t in, bool bias) {
  table.push_back({.name = name + ".weight", .shape = {out, in}, .init = Init::trunc_normal()});
  if (bias)
    table.push_back(
        {.name = name + ".bias", .shape = {out}, .init = Init::zeros(), .decay = Decay::no});
}

void add_norm(std::vector<ParameterSpec>& table, std::string const& name, VitShape const& s) {
  table.push_back(
      {.name = name + ".weight", .shape = {s.embed_dim}, .init = Init::ones(), .decay = Decay::no});
  if (s.norm == Norm::layer)
    table.push_back({.name = name + ".bias",
                     .shape = {s.embed_dim},
                     .init = Init::zeros(),
                     .decay = Decay::no});
}

void add_ffn(std::vector<ParameterSpec>& table, VitShape const& s) {
  auto const h = s.mlp_hidden, d = s.embed_dim;
  if (s.ffn == Ffn::swiglu) {
    // Both weights first: without a gap between them they are one matrix for the product.
    require(h * d % shard::UnitLayout::alignment == 0, ExitCode::usage,
            "a SwiGLU of width {} on {} channels is not supported (their product must be a "
            "multiple of {}). Use widths that are multiples of 8",
            h, d, shard::UnitLayout::alignment);
    for (std::string const name : {"mlp.w1", "mlp.w2"})
      table.push_back({.name = name + ".weight", .shape = {h, d}, .init = Init::trunc_normal()});
    for (std::string const name : {"mlp.w1", "mlp.w2"}) {
      if (s.ffn_bias)
        table.push_back(
            {.name = name + ".bias", .shape = {h}, .init = Init::zeros(), .decay = Decay::no});
    }
  } else {
    add_linear(table, s.ffn == Ffn::mlp ? "mlp.fc1" : "mlp.w12", s.ffn_columns(), d, s.ffn_bias);
  }
  add_linear(table, s.ffn == Ffn::mlp ? "mlp.fc2" : "mlp.w3", d, h, s.ffn_bias);
}

UnitSpec embedding_unit(VitShape const& s, std::string const& prefix) {
  auto const bound = static_cast<float>(1.0 / std::sqrt(static_cast<double>(s.patch_values())));
  UnitSpec unit{prefix, {}};
  auto& table = unit.parameters;
  table.push_back({.name = "cls_token",
                   .shape = {1, 1, s.embed_dim},
                   .init = Init::normal(s.class_token_deviation)});
  if (!s.rope) {
    table.push_back({.name = "pos_embed",
                     .shape = {1, 1 + s.grid * s.grid, s.embed_dim},
                     .init = Init::trunc_normal()});
  }
  table.push_back({.name = "patch_embed.proj.weight",
                   .shape = {s.embed_dim, s.channels, s.patch_size, s.patch_size},
                   .init = Init::uniform(bound)});
  table.push_back({.name = "patch_embed.proj.bias",
                   .shape = {s.embed_dim},
                   .init = Init::uniform(bound),
                   .decay = Decay::no});
  if (s.registers > 0) {
    table.push_back({.name = s.register_name,
                     .shape = {1, s.registers, s.embed_dim},
                     .init = Init::normal(s.class_token_deviation)});
  }
  if (s.mask_token)
    table.push_back({.name = "mask_token", .shape = {1, s.embed_dim}, .init = Init::zeros()});
  return unit;
}

void add_layer_scale(std::vector<ParameterSpec>& table, std::string const& name,
                     VitShape const& s) {
  if (!s.layer_scale) return;
  table.push_back({.name = name + ".gamma",
                   .shape = {s.embed_dim},
                   .init = {Init::Law::constant, *s.layer_scale},
                   .decay = Decay::no});
}

UnitSpec block_unit(VitShape const& s, std::string const& prefix) {
  UnitSpec unit{prefix, {}};
  auto& table = unit.parameters;
  add_norm(table, "norm1", s);
  add_linear(table, "attn.qkv", 3 * s.embed_dim, s.embed_dim, s.qkv_bias);
  add_linear(table, "attn.proj", s.embed_dim, s.embed_dim, s.proj_bias);
  add_layer_scale(table, "ls1", s);
  add_norm(table, "norm2", s);
  add_ffn(table, s);
  add_layer_scale(table, "ls2", s);
  return unit;
}

}  // namespace

std::vector<UnitSpec> vit_units(VitShape const& shape, std::string const& prefix) {
  std::vector<UnitSpec> units{embedding_unit(shape, prefix)};
  for (std::int64_t i = 0; i < shape.depth; ++i) {
    units.push_back(block_unit(shape, prefix + "blocks." + std::to_string(i) + "."));
  }
  auto& norms = units.emplace_back(UnitSpec{prefix, {}}).parameters;
  add_norm(norms, "norm", shape);
  if (shape.untie_cls_and_patch_norms) add_norm(norms, "cls_norm", shape);
  if (shape.untie_global_and_local_cls_norm) add_norm(norms, "local_cls_norm", shape);
  return units;
}

}  // namespace dino
