// SPDX-License-Identifier: Apache-2.0
// Ranges of [student], and what its keys ask of each other.
#include <algorithm>
#include <array>

#include "config/architectures.hpp"
#include "config/ranges.hpp"

namespace dino::config {
namespace {

void validate_sizes(Student const& student, bool rotary) {
  std::array<std::string_view, architectures.size()> names;
  std::ranges::transform(architectures, names.begin(), &Architecture::name);
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

}  // namespace

void validate_student(Student const& student, std::string_view method) {
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
