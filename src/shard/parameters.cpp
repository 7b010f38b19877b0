// SPDX-License-Identifier: Apache-2.0
#include "shard/parameters.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "base/philox.hpp"

namespace dino::shard {

std::int64_t ParameterSpec::size() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

namespace {
std::int64_t round_up(std::int64_t n, std::int64_t step) {
  return (n + step - 1) / step * step;
}

std::uint32_t fnv1a(std::string_view text) {
  std::uint32_t hash = 2166136261U;
  for (char const c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return hash;
}
}  // namespace

UnitLayout::UnitLayout(UnitSpec spec, int parts) : spec_(std::move(spec)), parts_(parts) {
  for (auto const& parameter : spec_.parameters) {
    offsets_.push_back(size_);
    size_ = round_up(size_ + parameter.size(), alignment);
  }
  size_ = round_up(size_, alignment * parts);
}

int UnitLayout::find(std::string_view name) const {
  auto const& all = spec_.parameters;
  auto const it =
      std::find_if(all.begin(), all.end(), [&](auto const& p) { return p.name == name; });
  return it == all.end() ? -1 : static_cast<int>(it - all.begin());
}

UnitLayout::Overlap UnitLayout::overlap(std::size_t parameter, int part) const {
  auto const begin = std::max(offsets_[parameter], part * part_size());
  auto const end =
      std::min(offsets_[parameter] + spec_.parameters[parameter].size(), (part + 1) * part_size());
  if (begin >= end) return {};
  return {begin - offsets_[parameter], begin - part * part_size(), end - begin};
}

float initial_value(Init const& init, std::uint64_t seed, std::string_view full_name,
                    std::int64_t element) {
  if (init.law == Init::Law::constant) return init.scale;
  // Two elements share one block of four words: two uniforms of 53 bits.
  Philox draw(seed, Purpose::initial_weight, static_cast<std::uint64_t>(element / 2),
              fnv1a(full_name));
  double const u = draw.uniform();
  double const v = draw.uniform();
  bool const first = element % 2 == 0;
  if (init.law == Init::Law::uniform)
    return static_cast<float>(init.scale * (2.0 * (first ? u : v) - 1.0));
  double const radius = std::sqrt(-2.0 * std::log(1.0 - u));
  double const angle = 6.283185307179586 * v;
  return static_cast<float>(init.scale * radius * (first ? std::cos(angle) : std::sin(angle)));
}

}  // namespace dino::shard
