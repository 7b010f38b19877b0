// SPDX-License-Identifier: Apache-2.0
#include "train/drop_path.hpp"

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

}  // namespace dino::train
