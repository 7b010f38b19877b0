// SPDX-License-Identifier: Apache-2.0
#include "model/rope.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.hpp"
#include "base/philox.hpp"

namespace dino {
namespace {

RopeDraw draw_once(RopeAugmentation const& by, Philox random) {
  // All five are drawn whatever is used, so that switching one off leaves the others as they were.
  auto const within = [&](double bound) { return random.uniform(-bound, bound); };
  RopeDraw draw;
  for (auto& shift : draw.shift) shift = within(by.shift);
  for (auto& factor : draw.factor) factor = std::exp(within(std::log(by.jitter)));
  double const rescale = std::exp(within(std::log(by.rescale)));
  for (auto& factor : draw.factor) factor *= rescale;
  return draw;
}

double divisor(RopeNormalize normalize, std::int64_t own, std::int64_t other) {
  switch (normalize) {
    case RopeNormalize::max:
      return static_cast<double>(std::max(own, other));
    case RopeNormalize::min:
      return static_cast<double>(std::min(own, other));
    case RopeNormalize::separate:
      break;
  }
  return static_cast<double>(own);
}

}  // namespace

RopeNormalize rope_normalize(std::string_view name) {
  if (name == "max") return RopeNormalize::max;
  if (name == "min") return RopeNormalize::min;
  require(name == "separate", ExitCode::usage,
          "unknown normalization of rotary coordinates '{}' (must be separate, max or min)", name);
  return RopeNormalize::separate;
}

std::vector<double> Rope::periods(std::int64_t head_dim) const {
  auto const n = head_dim / 4;
  std::vector<double> out;
  for (std::int64_t i = 0; i < n; ++i) {
    auto const step = static_cast<double>(i);
    if (base) {
      out.push_back(std::pow(*base, 4 * step / static_cast<double>(head_dim)));
    } else {
      double const exponent = n == 1 ? 0.0 : step / static_cast<double>(n - 1);
      out.push_back(max_period * std::pow(max_period / min_period, exponent - 1));
    }
  }
  return out;
}

std::vector<RopeDraw> RopeAugmentation::draws(std::int64_t seed, std::int64_t step,
                                              std::int64_t depth) const {
  std::vector<RopeDraw> out;
  for (std::int64_t i = 0; i < 2 * depth; ++i) {
    out.push_back(
        draw_once(*this, Philox(static_cast<std::uint64_t>(seed), Purpose::rope,
                                static_cast<std::uint64_t>(step), static_cast<std::uint32_t>(i))));
  }
  return out;
}

void fill_rope_table(RopeNormalize normalize, std::span<double const> periods, std::int64_t height,
                     std::int64_t width, RopeDraw const& draw, std::span<float> out) {
  auto to = out.begin();
  auto const axis = [&](std::size_t which, std::int64_t lines, std::int64_t other) {
    for (std::int64_t line = 0; line < lines; ++line) {
      double const place = (static_cast<double>(line) + 0.5) / divisor(normalize, lines, other);
      double const coordinate = (2 * place - 1 + draw.shift[which]) * draw.factor[which];
      auto const turn = [&](double period) { return 2 * std::numbers::pi * coordinate / period; };
      for (auto const period : periods) *to++ = static_cast<float>(std::cos(turn(period)));
      for (auto const period : periods) *to++ = static_cast<float>(std::sin(turn(period)));
    }
  };
  axis(0, height, width);
  axis(1, width, height);
}

}  // namespace dino
