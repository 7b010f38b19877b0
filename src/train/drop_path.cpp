// SPDX-License-Identifier: Apache-2.0
#include "train/drop_path.hpp"

#include <algorithm>

#include "base/philox.hpp"

namespace dino::train {

std::vector<float> drop_path_factors(double rate, std::int64_t depth, std::int64_t crops,
                                     std::int64_t seed, std::span<std::int64_t const> positions) {
  auto const images = static_cast<std::int64_t>(positions.size());
  std::vector<float> factors;
  factors.reserve(static_cast<std::size_t>(2 * depth * crops * images));
  for (std::int64_t branch = 0; branch < 2 * depth; ++branch) {
    double const r =
        depth == 1 ? 0.0 : rate * static_cast<double>(branch / 2) / static_cast<double>(depth - 1);
    for (std::int64_t crop = 0; crop < crops; ++crop) {
      for (auto const position : positions) {
        Philox draw(static_cast<std::uint64_t>(seed), Purpose::drop_path,
                    static_cast<std::uint64_t>(position),
                    static_cast<std::uint32_t>(branch * crops + crop));
        factors.push_back(draw.uniform() < 1.0 - r ? static_cast<float>(1.0 / (1.0 - r)) : 0.0F);
      }
    }
  }
  return factors;
}

namespace {

/// Whether each of `count` samples is in a random subset of `kept`.
std::vector<char> random_subset(Philox draw, std::int64_t count, std::int64_t kept) {
  std::vector<char> in(static_cast<std::size_t>(count), 0);
  // Selection sampling: each sample in turn with the share that is still wanted.
  for (std::int64_t i = 0; i < count && kept > 0; ++i) {
    if (static_cast<std::int64_t>(draw.below(static_cast<std::uint64_t>(count - i))) >= kept)
      continue;
    in[static_cast<std::size_t>(i)] = 1;
    --kept;
  }
  return in;
}

}  // namespace

std::vector<float> SubsetDropPath::factors(std::int64_t step, std::int64_t first,
                                           std::int64_t images) const {
  std::vector<float> out;
  out.reserve(static_cast<std::size_t>(2 * depth * (global_crops + local_crops) * images));
  for (std::int64_t branch = 0; branch < 2 * depth; ++branch) {
    for (std::int64_t kind = 0; kind < 2; ++kind) {
      auto const crops = kind == 0 ? global_crops : local_crops;
      auto const count = crops * global_batch;
      if (count == 0) continue;
      auto const kept = std::max<std::int64_t>(
          static_cast<std::int64_t>(static_cast<double>(count) * (1.0 - rate)), 1);
      auto const factor =
          static_cast<float>(static_cast<double>(count) / static_cast<double>(kept));
      auto const in = random_subset(
          Philox(static_cast<std::uint64_t>(seed), Purpose::drop_path,
                 static_cast<std::uint64_t>(step), static_cast<std::uint32_t>(2 * branch + kind)),
          count, kept);
      for (std::int64_t crop = 0; crop < crops; ++crop) {
        for (std::int64_t i = first; i < first + images; ++i)
          out.push_back(in[static_cast<std::size_t>(crop * global_batch + i)] != 0 ? factor : 0.0F);
      }
    }
  }
  return out;
}

}  // namespace dino::train
