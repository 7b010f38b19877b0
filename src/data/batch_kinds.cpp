// SPDX-License-Identifier: Apache-2.0
#include "data/batch_kinds.hpp"

#include "base/philox.hpp"

namespace dino {
namespace {

double draw(std::int64_t seed, Purpose purpose, std::int64_t step) {
  return Philox(static_cast<std::uint64_t>(seed), purpose, static_cast<std::uint64_t>(step))
      .uniform();
}

}  // namespace

config::CropSizes const& sizes_at(std::span<config::CropSizes const> sizes, std::int64_t seed,
                                  std::int64_t step) {
  double left = draw(seed, Purpose::crop_pair, step);
  for (auto const& candidate : sizes.first(sizes.size() - 1)) {
    left -= candidate.share;
    if (left < 0) return candidate;
  }
  return sizes.back();
}

bool DataMix::second(std::int64_t step) const {
  return share_ > 0 && draw(seed_, Purpose::data_mix, step) < share_;
}

std::int64_t DataMix::second_before(std::int64_t step) const {
  std::int64_t count = 0;
  for (std::int64_t s = 0; s < step; ++s) count += second(s) ? 1 : 0;
  return count;
}

}  // namespace dino
