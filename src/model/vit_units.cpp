// SPDX-License-Identifier: Apache-2.0
#include <cmath>

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

void add_norm(std::vector<ParameterSpec>& table, std::string const& name, std::int64_t dim) {
  table.push_back(
      {.name = name + ".weight", .shape = {dim}, .init = Init::ones(), .decay = Decay::no});
  table.push_back(
      {.name = name + ".bias", .shape = {dim}, .init = Init::zeros(), .decay = Decay::no});
}

UnitSpec embedding_unit(VitShape const& s, std::string const& prefix) {
  auto const bound = static_cast<float>(1.0 / std::sqrt(static_cast<double>(s.patch_values())));
  UnitSpec unit{prefix,
                {{.name = "cls_token",
                  .shape = {1, 1, s.embed_dim},
                  .init = Init::normal(s.class_token_deviation)},
                 {.name = "pos_embed",
                  .shape = {1, 1 + s.grid * s.grid, s.embed_dim},
                  .init = Init::trunc_normal()},
                 {.name = "patch_embed.proj.weight",
                  .shape = {s.embed_dim, s.channels, s.patch_size, s.patch_size},
                  .init = Init::uniform(bound)},
                 {.name = "patch_embed.proj.bias",
                  .shape = {s.embed_dim},
                  .init = Init::uniform(bound),
                  .decay = Decay::no}}};
  if (s.registers > 0) {
    unit.parameters.push_back({.name = "register_tokens",
                               .shape = {1, s.registers, s.embed_dim},
                               .init = Init::normal(s.class_token_deviation)});
  }
  if (s.mask_token) {
    unit.parameters.push_back(
        {.name = "mask_token", .shape = {1, s.embed_dim}, .init = Init::zeros()});
  }
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
  add_norm(table, "norm1", s.embed_dim);
  add_linear(table, "attn.qkv", 3 * s.embed_dim, s.embed_dim, s.qkv_bias);
  add_linear(table, "attn.proj", s.embed_dim, s.embed_dim, s.proj_bias);
  add_layer_scale(table, "ls1", s);
  add_norm(table, "norm2", s.embed_dim);
  bool const mlp = s.ffn == Ffn::mlp;
  add_linear(table, mlp ? "mlp.fc1" : "mlp.w12", s.ffn_columns(), s.embed_dim, s.ffn_bias);
  add_linear(table, mlp ? "mlp.fc2" : "mlp.w3", s.embed_dim, s.mlp_hidden, s.ffn_bias);
  add_layer_scale(table, "ls2", s);
  return unit;
}

}  // namespace

std::vector<UnitSpec> vit_units(VitShape const& shape, std::string const& prefix) {
  std::vector<UnitSpec> units{embedding_unit(shape, prefix)};
  for (std::int64_t i = 0; i < shape.depth; ++i) {
    units.push_back(block_unit(shape, prefix + "blocks." + std::to_string(i) + "."));
  }
  units.push_back({prefix + "norm.", {}});
  units.back().parameters = {
      {.name = "weight", .shape = {shape.embed_dim}, .init = Init::ones(), .decay = Decay::no},
      {.name = "bias", .shape = {shape.embed_dim}, .init = Init::zeros(), .decay = Decay::no}};
  return units;
}

}  // namespace dino
