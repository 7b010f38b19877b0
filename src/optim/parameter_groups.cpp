// SPDX-License-Identifier: Apache-2.0
#include "optim/parameter_groups.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <optional>

namespace dino::optim {
namespace {

constexpr std::array<std::string_view, 6> embeddings{
    "pos_embed", "patch_embed", "cls_token", "mask_token", "register_tokens", "storage_tokens"};
constexpr std::array<std::string_view, 3> undecayed{"norm", "gamma", "fourier_w"};  // the last: v3

bool contains(std::string_view name, std::string_view word) {
  return name.find(word) != std::string_view::npos;
}

/// The i of "blocks.i.".
std::optional<std::int64_t> block_of(std::string_view name) {
  constexpr std::string_view word = "blocks.";
  for (auto at = name.find(word); at != std::string_view::npos; at = name.find(word, at + 1)) {
    auto const digits = name.substr(at + word.size());
    std::int64_t block = 0;
    auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), block);
    if (error == std::errc{} && end != digits.data() + digits.size() && *end == '.') return block;
  }
  return {};
}

/// 0 for what comes before the blocks, i + 1 for block i, depth + 1 for the rest.
std::int64_t level_of(std::string_view name, std::int64_t depth) {
  if (auto const block = block_of(name)) return *block + 1;
  for (auto const word : embeddings)
    if (contains(name, word)) return 0;
  return depth + 1;
}

bool decays(std::string_view name, GroupRules rules) {
  if (name.ends_with(rules == GroupRules::v2 ? ".bias" : "bias")) return false;
  auto const words = rules == GroupRules::v2 ? undecayed.size() - 1 : undecayed.size();
  for (std::size_t i = 0; i < words; ++i)
    if (contains(name, undecayed[i])) return false;
  return true;
}

}  // namespace

ParameterGroup parameter_group(std::string_view name, LayerwiseDecay const& layers) {
  ParameterGroup group{.weight_decay = decays(name, layers.rules) ? 1.0 : 0.0,
                       .last_layer = contains(name, "last_layer")};
  if (!name.starts_with("backbone.")) return group;
  auto const levels_above = layers.depth + 1 - level_of(name, layers.depth);
  group.lr = std::pow(layers.decay, static_cast<double>(levels_above));
  if (contains(name, "patch_embed")) group.lr *= layers.patch_embed;
  return group;
}

}  // namespace dino::optim
