// SPDX-License-Identifier: Apache-2.0
#include "golden/model_arrays.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"

namespace dino::golden {

void load_parameters(shard::ParameterStore<float>& store, GoldenFile const& file,
                     std::string const& role) {
  for (int unit = 0; unit < store.units(); ++unit) {
    auto const& layout = store.layout(unit);
    for (std::size_t p = 0; p < layout.spec().parameters.size(); ++p) {
      auto const& spec = layout.spec().parameters[p];
      auto const path = "params/" + role + "/" + layout.spec().prefix + spec.name;
      auto const values = file.at(path).floats();
      require(static_cast<std::int64_t>(values.size()) == spec.size(), ExitCode::input,
              "{} has {} values instead of {}", path, values.size(), spec.size());
      std::copy(values.begin(), values.end(), store.master(unit).data() + layout.offset(p));
    }
  }
  store.invalidate();
}

namespace {

/// M of learned positions [1, 1 + M M, D].
std::int64_t grid_of(Array const& positions, std::int64_t dim) {
  auto const patches = positions.size() / dim - 1;
  auto const grid = static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(patches))));
  require(grid * grid == patches, ExitCode::input, "pos_embed of {} patches is no square", patches);
  return grid;
}

/// Form and sizes of the second branch, from the names and extents of its parameters.
void read_ffn(GoldenFile const& file, std::string const& block, VitShape& shape) {
  shape.ffn = file.has(block + "mlp.w12.weight")  ? Ffn::swiglu_packed
              : file.has(block + "mlp.w1.weight") ? Ffn::swiglu
                                                  : Ffn::mlp;
  std::string const last = block + (shape.ffn == Ffn::mlp ? "mlp.fc2" : "mlp.w3");
  shape.mlp_hidden = file.at(last + ".weight").shape[1];
  shape.ffn_bias = file.has(last + ".bias");
}

/// Kind and epsilon of the norms, and which there are at the end.
void read_norms(GoldenFile const& file, std::string const& prefix, VitShape& shape) {
  auto const name = file.text("norm_layer", "layernorm");
  require(name == "layernorm" || name == "layernormbf16" || name == "rmsnorm", ExitCode::input,
          "unknown norm_layer '{}'", name);
  shape.norm = name == "rmsnorm" ? Norm::rms : Norm::layer;
  shape.norm_eps =
      static_cast<float>(file.real("layernorm_eps", name == "layernorm" ? 1e-6 : 1e-5));
  shape.untie_cls_and_patch_norms = file.has(prefix + "cls_norm.weight");
  shape.untie_global_and_local_cls_norm = file.has(prefix + "local_cls_norm.weight");
}

/// Learned positions with their interpolation, or rotary ones.
void read_positions(GoldenFile const& file, std::string const& prefix, VitShape& shape) {
  if (!file.has(prefix + "pos_embed")) {
    shape.rope = rope_of(file);
    return;
  }
  shape.grid = grid_of(file.at(prefix + "pos_embed"), shape.embed_dim);
  shape.interpolation.offset = file.real("interpolate_offset", 0.1);
  shape.interpolation.antialias = file.integer("interpolate_antialias", 0) != 0;
}

}  // namespace

Rope rope_of(GoldenFile const& file) {
  Rope rope{.base = file.real("pos_embed_rope_base")};
  if (*rope.base == 0) {
    rope = {.base = {},
            .min_period = file.real("pos_embed_rope_min_period"),
            .max_period = file.real("pos_embed_rope_max_period")};
  }
  rope.normalize = rope_normalize(file.text("pos_embed_rope_normalize_coords"));
  return rope;
}

std::vector<float> rope_channels(View<float const, 1> table, Segment const& segment,
                                 std::int64_t head_dim, RopePart part) {
  auto const n = head_dim / 4;
  std::vector<float> out;
  for (std::int64_t patch = 0; patch < segment.patches(); ++patch) {
    std::int64_t const lines[] = {patch / segment.grid_width,
                                  segment.grid_height + patch % segment.grid_width};
    for (int half = 0; half < 2; ++half) {
      for (auto const line : lines) {
        auto const begin = (2 * line + (part == RopePart::sine ? 1 : 0)) * n;
        auto const values = table.rows(begin, begin + n);
        out.insert(out.end(), values.data(), values.data() + n);
      }
    }
  }
  return out;
}

VitShape backbone_shape(GoldenFile const& file) {
  std::string const prefix = "params/student/backbone.";
  VitShape shape;
  auto const& patch = file.at(prefix + "patch_embed.proj.weight").shape;
  require(patch.size() == 4, ExitCode::input, "patch_embed.proj.weight has {} extents",
          patch.size());
  shape.embed_dim = patch[0];
  shape.channels = patch[1];
  shape.patch_size = patch[2];
  shape.whole_patches = file.method == "dinov2";
  shape.depth = file.integer("depth");
  shape.num_heads = file.integer("num_heads");
  std::string const block = prefix + "blocks.0.";
  read_ffn(file, block, shape);
  read_norms(file, prefix, shape);
  read_positions(file, prefix, shape);
  shape.qkv_bias = file.has(block + "attn.qkv.bias");
  shape.mask_k_bias = file.has(block + "attn.qkv.bias_mask");
  shape.proj_bias = file.has(block + "attn.proj.bias");
  if (file.has(block + "ls1.gamma")) shape.layer_scale = 1e-5F;
  shape.mask_token = file.has(prefix + "mask_token");
  for (std::string const name : {"register_tokens", "storage_tokens"}) {
    if (!file.has(prefix + name)) continue;
    shape.register_name = name;
    shape.registers = file.at(prefix + name).size() / shape.embed_dim;
  }
  return shape;
}

}  // namespace dino::golden
