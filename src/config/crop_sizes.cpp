// SPDX-License-Identifier: Apache-2.0
#include "config/crop_sizes.hpp"

#include <numeric>
#include <string>

#include "config/ranges.hpp"

namespace dino::config {
namespace {

using Sizes = std::vector<std::int64_t>;

/// What the given sums of ratios may differ from 1 by: they are written with few digits.
constexpr double ratio_tolerance = 1e-6;

template <class T>
std::string repeated(std::size_t n, T value) {
  return toml_text(std::vector<T>(n, value));
}

/// Whether an array has a value for each pair.
template <class T>
void one_for_each(std::size_t pairs, std::string_view key, std::vector<T> const& values,
                  std::string_view remedy) {
  auto const rule = pairs == 0 ? std::string("empty where crops.pairs.global_size is")
                               : fmt::format("{} long, as crops.pairs.global_size", pairs);
  check(values.size() == pairs, key, values, rule, remedy);
}

void multiples_of_patch(std::string_view key, Sizes const& sizes, std::int64_t patch) {
  Sizes mended = sizes;
  for (auto& size : mended) size = multiple_below(size, patch);
  check(mended == sizes, key, sizes, fmt::format("multiples of student.patch_size={}", patch),
        toml_text(mended));
}

void validate_ratios(std::vector<double> const& ratio) {
  auto const equal = repeated(ratio.size(), 1.0 / static_cast<double>(ratio.size()));
  for (double const share : ratio)
    check(share > 0, "crops.pairs.ratio", ratio, "shares > 0", equal);
  auto const sum = std::accumulate(ratio.begin(), ratio.end(), 0.0);
  check(std::abs(sum - 1) <= ratio_tolerance, "crops.pairs.ratio", ratio,
        fmt::format("shares that sum to 1, not {:.6g}", sum), equal);
}

/// Local sizes may have a part of a patch left over, but not for DINOv2 (method.md 1.3).
void validate_local_sizes(Config const& config) {
  auto const& sizes = config.crops.pairs.local_size;
  auto const patch = config.student.patch_size;
  if (config.crops.local_count == 0) return;
  if (config.method == "dinov2") multiples_of_patch("crops.pairs.local_size", sizes, patch);
  check(std::all_of(sizes.begin(), sizes.end(), [&](auto size) { return size >= patch; }),
        "crops.pairs.local_size", sizes, fmt::format("sizes >= student.patch_size={}", patch),
        repeated(sizes.size(), patch));
}

void validate_pairs(Config const& config) {
  auto const& pairs = config.crops.pairs;
  auto const n = pairs.global_size.size();
  one_for_each(n, "crops.pairs.local_size", pairs.local_size, repeated(n, config.crops.local_size));
  if (n == 0 || !pairs.gram_teacher_crops_size.empty())
    one_for_each(n, "crops.pairs.gram_teacher_crops_size", pairs.gram_teacher_crops_size, "[]");
  one_for_each(n, "crops.pairs.ratio", pairs.ratio, repeated(n, 1.0 / static_cast<double>(n)));
  if (n == 0) return;
  validate_ratios(pairs.ratio);
  auto const patch = config.student.patch_size;
  multiples_of_patch("crops.pairs.global_size", pairs.global_size, patch);
  multiples_of_patch("crops.pairs.gram_teacher_crops_size", pairs.gram_teacher_crops_size, patch);
  validate_local_sizes(config);
  auto const gram = config.crops.gram_teacher_crops_size;
  require(!gram, ExitCode::usage,
          "invalid crops.gram_teacher_crops_size={} with crops.pairs (each pair has its own). Try "
          "setting crops.pairs.gram_teacher_crops_size={} instead",
          gram.value_or(0), repeated(n, gram.value_or(0)));
}

/// Windows are drawn on the patch grid of a global crop, and of a base crop of the same size.
/// Source: method.md 5.2, 12.23.
void validate_windows(Config const& config) {
  auto const& crops = config.crops;
  if (!crops.localcrops_subset_of_globalcrops || crops.local_count == 0) return;
  auto const refuse = [](bool valid, std::string const& reason) {
    require(valid, ExitCode::usage,
            "invalid crops.localcrops_subset_of_globalcrops=true ({}). Try "
            "crops.localcrops_subset_of_globalcrops=false",
            reason);
  };
  refuse(crops.local_count % 2 == 0,
         fmt::format("half of crops.local_count={} come from each global crop", crops.local_count));
  for (auto const& sizes : crop_sizes(crops)) {
    refuse(sizes.base() == sizes.global,
           fmt::format("crops are cut at {} pixels for the Gram teacher, global ones have {}",
                       sizes.base(), sizes.global));
    refuse(sizes.global - sizes.local >= config.student.patch_size,
           fmt::format("local crops of {} pixels leave no choice of a place in global ones of {}",
                       sizes.local, sizes.global));
  }
}

/// The Gaussian's nine taps are reflected at the edges once.
void validate_blur(Crops const& crops) {
  for (auto const& sizes : crop_sizes(crops)) {
    auto const least = crops.local_count > 0 ? std::min(sizes.global, sizes.local) : sizes.global;
    check(crops.blur == "pillow" || least > 4, "crops.blur", crops.blur,
          fmt::format("pillow for crops of {} pixels", least), "pillow");
  }
}

}  // namespace

std::vector<CropSizes> crop_sizes(Crops const& crops) {
  auto const& pairs = crops.pairs;
  if (pairs.global_size.empty())
    return {{crops.global_size, crops.local_size, crops.gram_teacher_crops_size, 1.0}};
  auto const sum = std::accumulate(pairs.ratio.begin(), pairs.ratio.end(), 0.0);
  std::vector<CropSizes> all;
  for (std::size_t i = 0; i < pairs.global_size.size(); ++i) {
    all.push_back({pairs.global_size[i], pairs.local_size.at(i), {}, pairs.ratio.at(i) / sum});
    if (!pairs.gram_teacher_crops_size.empty())
      all.back().gram = pairs.gram_teacher_crops_size.at(i);
  }
  return all;
}

void validate_crop_sizes(Config const& config) {
  validate_pairs(config);
  validate_windows(config);
  validate_blur(config.crops);
}

}  // namespace dino::config
