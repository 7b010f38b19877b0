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

VitShape backbone_shape(GoldenFile const& file) {
  std::string const prefix = "params/student/backbone.";
  VitShape shape;
  auto const& patch = file.at(prefix + "patch_embed.proj.weight").shape;
  require(patch.size() == 4, ExitCode::input, "patch_embed.proj.weight has {} extents",
          patch.size());
  shape.embed_dim = patch[0];
  shape.channels = patch[1];
  shape.patch_size = patch[2];
  auto const positions = file.at(prefix + "pos_embed").size() / shape.embed_dim - 1;
  shape.grid = static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(positions))));
  require(shape.grid * shape.grid == positions, ExitCode::input,
          "pos_embed of {} patches is no square", positions);
  shape.depth = file.integer("depth");
  shape.num_heads = file.integer("num_heads");
  std::string const block = prefix + "blocks.0.";
  shape.ffn = file.has(block + "mlp.w12.weight") ? Ffn::swiglu_packed : Ffn::mlp;
  bool const mlp = shape.ffn == Ffn::mlp;
  shape.mlp_hidden = file.at(block + (mlp ? "mlp.fc2.weight" : "mlp.w3.weight")).shape[1];
  shape.qkv_bias = file.has(block + "attn.qkv.bias");
  shape.proj_bias = file.has(block + "attn.proj.bias");
  shape.ffn_bias = file.has(block + (mlp ? "mlp.fc2.bias" : "mlp.w3.bias"));
  if (file.has(block + "ls1.gamma")) shape.layer_scale = 1e-5F;
  shape.mask_token = file.has(prefix + "mask_token");
  if (file.has(prefix + "register_tokens"))
    shape.registers = file.at(prefix + "register_tokens").size() / shape.embed_dim;
  shape.norm_eps = static_cast<float>(file.real("layernorm_eps", 1e-6));
  shape.interpolation.offset = file.real("interpolate_offset", 0.1);
  shape.interpolation.antialias = file.integer("interpolate_antialias", 0) != 0;
  return shape;
}

}  // namespace dino::golden
