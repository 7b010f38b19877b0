// SPDX-License-Identifier: Apache-2.0
// Ranges of [student], and what its keys ask of each other.
#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "config/architectures.hpp"
#include "config/ranges.hpp"

namespace dino::config {
namespace {

void validate_sizes(Student const& student, bool rotary) {
  std::array<std::string_view, architectures.size() + convnets.size()> names;
  auto const rest = std::ranges::transform(architectures, names.begin(), &Architecture::name).out;
  std::ranges::transform(convnets, rest, &ConvnetArchitecture::name);
  one_of("student.arch", student.arch, names);
  at_least("student.patch_size", student.patch_size, 1, "16");
  at_least("student.embed_dim", student.embed_dim, 1, "384");
  at_least("student.depth", student.depth, 1, "12");
  at_least("student.num_heads", student.num_heads, 1, "6");
  auto const& arch = *find_architecture(student.arch);
  auto const width = student.embed_dim.value_or(arch.embed_dim);
  auto const heads = student.num_heads.value_or(arch.num_heads);
  // Rotary positions take the channels of a head in fours.
  auto const unit = rotary ? 4 * heads : heads;
  check(width % unit == 0, "student.embed_dim", width,
        fmt::format("a multiple of {}student.num_heads={}", rotary ? "4 x " : "", heads),
        toml_text(multiple_below(width, unit)));
}

/// Keys that a method without rotary positions does not have.
void refuse_rotary_keys(Student const& student) {
  auto const refuse = [](std::string_view key, auto const& value) {
    fail(ExitCode::usage, "invalid student.{}={} (only method=dinov3 has it). Try method=dinov3",
         key, toml_text(value));
  };
  Student const defaults;
  auto const absent = [&](std::string_view key, auto const& value, auto const& unused) {
    if (value != unused) refuse(key, value);
  };
  absent("mask_k_bias", student.mask_k_bias, defaults.mask_k_bias);
  absent("norm_layer", student.norm_layer, defaults.norm_layer);
  absent("untie_cls_and_patch_norms", student.untie_cls_and_patch_norms,
         defaults.untie_cls_and_patch_norms);
  absent("untie_global_and_local_cls_norm", student.untie_global_and_local_cls_norm,
         defaults.untie_global_and_local_cls_norm);
  absent("rope_base", student.rope_base, defaults.rope_base);
  absent("rope_min_period", student.rope_min_period, defaults.rope_min_period);
  absent("rope_max_period", student.rope_max_period, defaults.rope_max_period);
  absent("rope_normalize", student.rope_normalize, defaults.rope_normalize);
  absent("rope_shift", student.rope_shift, defaults.rope_shift);
  absent("rope_jitter", student.rope_jitter, defaults.rope_jitter);
  absent("rope_rescale", student.rope_rescale, defaults.rope_rescale);
}

/// Either a base, or the shortest and the longest period.
void validate_periods(Student const& student) {
  auto const &least = student.rope_min_period, &most = student.rope_max_period;
  if (student.rope_base) positive("student.rope_base", *student.rope_base, "100");
  if (least) positive("student.rope_min_period", *least, "1");
  if (most) positive("student.rope_max_period", *most, "100");
  require(!student.rope_base || (!least && !most), ExitCode::usage,
          "invalid student.rope_base={} (excludes student.rope_min_period and "
          "student.rope_max_period). Try setting either the base or the periods",
          toml_text(student.rope_base));
  require(!least || most, ExitCode::usage,
          "invalid student.rope_min_period={} (needs student.rope_max_period). Try "
          "student.rope_max_period={}",
          toml_text(least), toml_text(std::max(100.0, least.value_or(0))));
  require(!most || least, ExitCode::usage,
          "invalid student.rope_max_period={} (needs student.rope_min_period). Try "
          "student.rope_min_period={}",
          toml_text(most), toml_text(std::min(1.0, most.value_or(0))));
  if (least)
    check(*least <= *most, "student.rope_max_period", *most,
          fmt::format(">= student.rope_min_period={}", toml_text(*least)), toml_text(*least));
}

void validate_rope(Student const& student) {
  validate_periods(student);
  one_of("student.rope_normalize", student.rope_normalize, {"separate", "max", "min"});
  if (student.rope_shift) not_negative("student.rope_shift", *student.rope_shift, "0.5");
  auto const factor = [](std::string_view key, std::optional<double> const& value) {
    if (value) check(std::isfinite(*value) && *value >= 1, key, *value, ">= 1", "2");
  };
  factor("student.rope_jitter", student.rope_jitter);
  factor("student.rope_rescale", student.rope_rescale);
}

/// Keys that a convnet does not have keep their defaults.
void refuse_transformer_keys(Student student) {
  constexpr std::array<std::string_view, 4> shared{"arch", "embed_dim", "stage_blocks",
                                                   "drop_path_rate"};
  std::vector<std::pair<std::string, std::string>> given, unused;
  auto const list = [](Student& of, auto& to) {
    of.visit([&](std::string_view key, auto const& value, std::string_view) {
      to.emplace_back(key, toml_text(value));
    });
  };
  Student defaults;
  list(student, given);
  list(defaults, unused);
  for (std::size_t i = 0; i < given.size(); ++i) {
    auto const& [key, value] = given[i];
    require(value == unused[i].second || std::ranges::find(shared, key) != shared.end(),
            ExitCode::usage, "invalid student.{}={} (student.arch={} has no such thing). Try {}",
            key, value, student.arch,
            unused[i].second.empty() ? "setting no student." + key
                                     : fmt::format("student.{}={}", key, unused[i].second));
  }
}

void validate_convnet(Student const& student, std::string_view method) {
  auto const& arch = *find_convnet(student.arch);
  check(method == "dinov1", "student.arch", student.arch,
        fmt::format("a vision transformer for method={}", method), "vit_small");
  check(student.drop_path_rate == 0, "student.drop_path_rate", student.drop_path_rate,
        fmt::format("0 for student.arch={}", student.arch), "0.0");
  refuse_transformer_keys(student);
  auto const width = student.embed_dim.value_or(arch.embed_dim);
  check(width >= 32 && width % 32 == 0, "student.embed_dim", width,
        fmt::format("a multiple of 32 for student.arch={}", student.arch),
        toml_text(multiple_below(width, 32)));
  auto const& blocks = student.stage_blocks;
  check(blocks.empty() || (blocks.size() == arch.blocks.size() &&
                           std::ranges::all_of(blocks, [](auto n) { return n >= 1; })),
        "student.stage_blocks", blocks, "four integers >= 1, or empty",
        toml_text(std::vector<std::int64_t>(arch.blocks.begin(), arch.blocks.end())));
}

}  // namespace

void validate_batch_norm(Config const& config) {
  bool const convnet = find_convnet(config.student.arch) != nullptr;
  check(!config.dino.use_bn_in_head || config.method == "dinov1", "dino.use_bn_in_head",
        config.dino.use_bn_in_head, fmt::format("false for method={}", config.method), "false");
  require(
      !config.run.micro_batch || (!convnet && !config.dino.use_bn_in_head), ExitCode::usage,
      "invalid run.micro_batch={} (with {} batch norms take the statistics of the whole batch). "
      "Try setting no run.micro_batch, but more ranks or a smaller data.batch_size",
      toml_text(config.run.micro_batch),
      convnet ? "student.arch=" + config.student.arch : "dino.use_bn_in_head=true");
  if (!convnet) return;
  check(config.monitor.dense_every == 0, "monitor.dense_every", config.monitor.dense_every,
        fmt::format("0 for student.arch={}, which has no patches", config.student.arch), "0");
  constexpr std::int64_t least = 32;  // pixels of the last map's
  at_least("crops.global_size", config.crops.global_size, least, "224");
  if (config.crops.local_count > 0)
    at_least("crops.local_size", config.crops.local_size, least, "96");
  at_least("eval.crop_size", config.eval.crop_size, least, "224");
}

void validate_student(Student const& student, std::string_view method) {
  if (find_convnet(student.arch)) return validate_convnet(student, method);
  check(student.stage_blocks.empty(), "student.stage_blocks", student.stage_blocks,
        "empty for a vision transformer", "[]");
  bool const v3 = method == "dinov3";
  validate_sizes(student, v3);
  if (student.mlp_ratio) positive("student.mlp_ratio", *student.mlp_ratio, "4.0");
  below_one("student.drop_path_rate", student.drop_path_rate, "0.1");
  if (v3) {
    one_of("student.ffn", student.ffn, {"mlp", "swiglu", "swiglu32", "swiglu64", "swiglu128"});
  } else {
    one_of("student.ffn", student.ffn, {"mlp", "swiglu"});
    refuse_rotary_keys(student);
  }
  one_of("student.norm_layer", student.norm_layer, {"layernorm", "layernormbf16", "rmsnorm"});
  if (v3) validate_rope(student);
  at_least("student.registers", student.registers, 0, "4");
  if (student.layer_scale) positive("student.layer_scale", *student.layer_scale, "1e-5");
  not_negative("student.interpolate_offset", student.interpolate_offset, "0.1");
}

}  // namespace dino::config
