// SPDX-License-Identifier: Apache-2.0
#include "data/masking.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.hpp"

namespace dino {
namespace {

constexpr int attempts = 10;  // method.md 4.1
/// Stream of the shuffle; crops have those of their index in the global batch.
constexpr std::uint32_t shuffle_stream = std::numeric_limits<std::uint32_t>::max();

/// Masks `missing` of the patches that are not masked, drawn without replacement.
void mask_single_patches(Philox& random, std::span<std::uint8_t> mask, std::int64_t missing) {
  std::vector<std::size_t> free;
  for (std::size_t i = 0; i < mask.size(); ++i)
    if (mask[i] == 0) free.push_back(i);
  for (std::int64_t n = 0; n < missing; ++n) {
    auto const left = free.size() - static_cast<std::size_t>(n);
    std::swap(free[random.below(left)], free[left - 1]);
    mask[free[left - 1]] = 1;
  }
}

}  // namespace

void MaskSettings::validate() const {
  require(grid_h >= 1 && grid_w >= 1, ExitCode::usage, "masks of {} x {} patches", grid_h, grid_w);
  require(min_aspect > 0 && min_aspect <= 1, ExitCode::usage,
          "invalid smallest aspect ratio of a mask's block: {} (must be in (0, 1])", min_aspect);
  require(sample_probability >= 0 && sample_probability <= 1, ExitCode::usage,
          "invalid mask_sample_probability={} (must be in [0, 1]). Try 0.5", sample_probability);
  require(0 <= ratio[0] && ratio[0] <= ratio[1] && ratio[1] <= 1, ExitCode::usage,
          "invalid mask ratios [{}, {}] (must rise within [0, 1]). Try [0.1, 0.5]", ratio[0],
          ratio[1]);
}

double largest_block(int crop_size, int patch_size) {
  double const half_grid = std::floor(0.5 * crop_size / patch_size);
  return std::floor(half_grid * crop_size / patch_size);
}

MaskBlock add_block(Philox& random, std::span<std::uint8_t> mask, MaskSettings const& settings,
                    double max_new) {
  double const log_aspect = std::log(settings.min_aspect);
  for (int attempt = 0; attempt < attempts; ++attempt) {
    double const area = random.uniform(settings.min_block, max_new);
    double const aspect = std::exp(random.uniform(log_aspect, -log_aspect));
    // Half to even, as Python's round.
    auto const height = static_cast<int>(std::nearbyint(std::sqrt(area * aspect)));
    auto const width = static_cast<int>(std::nearbyint(std::sqrt(area / aspect)));
    if (height >= settings.grid_h || width >= settings.grid_w) continue;
    auto const places = [&](int size, int grid) {
      return static_cast<int>(random.below(static_cast<std::uint64_t>(grid - size + 1)));
    };
    int const top = places(height, settings.grid_h);
    int const left = places(width, settings.grid_w);
    auto const rows = [&](auto const& use) {
      for (int y = top; y < top + height; ++y)
        use(mask.subspan(static_cast<std::size_t>(y * settings.grid_w + left),
                         static_cast<std::size_t>(width)));
    };
    int added = height * width;
    rows([&](auto row) { added -= static_cast<int>(std::count(row.begin(), row.end(), 1)); });
    if (added == 0 || added > max_new) continue;
    rows([](auto row) { std::fill(row.begin(), row.end(), std::uint8_t{1}); });
    return {height, width, added};
  }
  return {};
}

std::int64_t draw_mask(Philox& random, std::span<std::uint8_t> mask, MaskSettings const& settings,
                       std::int64_t target) {
  std::fill(mask.begin(), mask.end(), std::uint8_t{0});
  std::int64_t count = 0;
  while (count < target) {
    auto const missing = static_cast<double>(target - count);
    auto const block = add_block(random, mask, settings, std::min(missing, settings.max_block));
    if (block.added == 0) break;
    count += block.added;
  }
  if (settings.completion == MaskCompletion::none) return count;
  mask_single_patches(random, mask, target - count);
  return target;
}

std::vector<std::uint8_t> circular_shift(std::span<std::uint8_t const> mask, int height, int width,
                                         int down, int right) {
  std::vector<std::uint8_t> out(mask.size());
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      auto const to = (y + down) % height * width + (x + right) % width;
      out[static_cast<std::size_t>(to)] = mask[static_cast<std::size_t>(y * width + x)];
    }
  }
  return out;
}

MaskLadder::MaskLadder(MaskSettings const& settings, std::int64_t crops)
    : low_(static_cast<float>(settings.ratio[0])),
      high_(static_cast<float>(settings.ratio[1])),
      step_(0),
      patches_(static_cast<float>(settings.patches())),
      completion_(settings.completion),
      masked_(static_cast<std::int64_t>(static_cast<double>(crops) * settings.sample_probability)) {
  if (masked_ > 0) step_ = (high_ - low_) / static_cast<float>(masked_);
}

// From the nearer end, as torch.linspace does.
float MaskLadder::ratio(std::int64_t i) const {
  if (i < (masked_ + 1) / 2) return low_ + static_cast<float>(i) * step_;
  return high_ - static_cast<float>(masked_ - i) * step_;
}

std::array<float, 2> MaskLadder::ratios(std::int64_t i) const {
  return {ratio(i), ratio(i + 1)};
}

std::int64_t MaskLadder::target(std::int64_t i, double uniform) const {
  if (completion_ == MaskCompletion::exact) return most(i);
  auto const [from, to] = ratios(i);
  return static_cast<std::int64_t>(patches_ * (from + (to - from) * static_cast<float>(uniform)));
}

std::int64_t MaskLadder::most(std::int64_t i) const {
  return static_cast<std::int64_t>(patches_ * ratio(i + 1));
}

std::int64_t MaskLadder::upper_bound(std::int64_t crops) const {
  std::int64_t sum = 0;
  for (auto i = std::max<std::int64_t>(0, masked_ - crops); i < masked_; ++i) sum += most(i);
  return sum;
}

CollatedMasks collate(std::vector<std::uint8_t> masks, std::int64_t patches) {
  CollatedMasks out{.masks = std::move(masks), .indices = {}, .weights = {}, .counts = {}};
  auto const crops = static_cast<std::int64_t>(out.masks.size()) / patches;
  for (std::int64_t crop = 0; crop < crops; ++crop) {
    auto const before = out.indices.size();
    for (std::int64_t i = crop * patches; i < (crop + 1) * patches; ++i)
      if (out.masks[static_cast<std::size_t>(i)] != 0) out.indices.push_back(i);
    auto const count = out.indices.size() - before;
    out.counts.push_back(static_cast<std::int64_t>(count));
    if (count > 0) out.weights.insert(out.weights.end(), count, 1.0F / static_cast<float>(count));
  }
  return out;
}

MaskMaker::MaskMaker(MaskSettings const& settings, std::int64_t global_batch, std::uint64_t seed)
    : settings_(settings),
      global_batch_(global_batch),
      seed_(seed),
      ladder_(settings, 2 * global_batch) {
  settings.validate();
}

std::vector<std::int64_t> MaskMaker::shuffled_steps(std::int64_t step) const {
  std::vector<std::int64_t> steps(static_cast<std::size_t>(2 * global_batch_));
  std::iota(steps.begin(), steps.end(), std::int64_t{0});
  Philox random(seed_, Purpose::mask, static_cast<std::uint64_t>(step), shuffle_stream);
  for (std::size_t left = steps.size(); left > 1; --left)
    std::swap(steps[random.below(left)], steps[left - 1]);
  return steps;
}

CollatedMasks MaskMaker::masks(std::int64_t step, std::int64_t first, std::int64_t images) const {
  auto const steps = shuffled_steps(step);
  auto const patches = static_cast<std::size_t>(settings_.patches());
  std::vector<std::uint8_t> all(static_cast<std::size_t>(2 * images) * patches);
  for (std::int64_t i = 0; i < 2 * images; ++i) {
    auto const crop = i / images * global_batch_ + first + i % images;
    auto const ladder_step = steps.at(static_cast<std::size_t>(crop));
    if (ladder_step >= ladder_.masked()) continue;
    auto const mask = std::span(all).subspan(static_cast<std::size_t>(i) * patches, patches);
    Philox random(seed_, Purpose::mask, static_cast<std::uint64_t>(step),
                  static_cast<std::uint32_t>(crop));
    auto const target = ladder_.target(ladder_step, random.uniform());
    draw_mask(random, mask, settings_, target);
    if (!settings_.circular_shift) continue;
    auto const offset = [&](int size) {
      return static_cast<int>(random.below(static_cast<std::uint64_t>(size)));
    };
    auto const down = offset(settings_.grid_h), right = offset(settings_.grid_w);
    auto const shifted = circular_shift(mask, settings_.grid_h, settings_.grid_w, down, right);
    std::copy(shifted.begin(), shifted.end(), mask.begin());
  }
  return collate(std::move(all), settings_.patches());
}

}  // namespace dino
