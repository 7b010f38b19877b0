// SPDX-License-Identifier: Apache-2.0
#include "objective/feature_spread.hpp"

#include <algorithm>
#include <cmath>

namespace dino {

void FeatureSpread::begin_step() {
  std::fill(sums_.begin(), sums_.end(), 0.0);
}

template <class T>
void FeatureSpread::add(Space const& space, View<T const, 2> features) {
  if (is_dry(space)) return;
  auto const dim = static_cast<std::size_t>(features.extent(1));
  std::vector<T> rows(static_cast<std::size_t>(features.size()));
  copy_to_host(space, std::span(rows), features);
  for (std::size_t at = 0; at < rows.size(); at += dim) {
    double squares = 0;
    for (std::size_t d = 0; d < dim; ++d) {
      auto const x = static_cast<double>(static_cast<float>(rows[at + d]));
      squares += x * x;
    }
    double const factor = squares > 0 ? 1 / std::sqrt(squares) : 0.0;
    for (std::size_t d = 0; d < dim; ++d)
      sums_[d] += factor * static_cast<double>(static_cast<float>(rows[at + d]));
    ++sums_[dim];
  }
}

double FeatureSpread::finish_step(Communicator const& world) {
  world.sum(std::span(sums_));
  auto const count = sums_.back();
  if (count == 0) return 0;
  double squares = 0;
  for (std::size_t d = 0; d + 1 < sums_.size(); ++d) squares += sums_[d] * sums_[d];
  return std::max(0.0, 1 - squares / (count * count));
}

template void FeatureSpread::add(Space const&, View<float const, 2>);
template void FeatureSpread::add(Space const&, View<bfloat16 const, 2>);

}  // namespace dino
