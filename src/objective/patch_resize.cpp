// SPDX-License-Identifier: Apache-2.0
#include "objective/patch_resize.hpp"

#include "kernels/elementwise.hpp"

namespace dino {

template <class T>
void PatchResize::operator()(View<T const, 2> x, PatchGrid from, PatchGrid to, View<float, 2> y) {
  if (from == to) return run(space_, Cast<T, float>{.x = x.flat(), .y = y.flat()});
  run(space_, GridResample<T>{.x = x,
                              .rows = weights(from.height, to.height),
                              .columns = weights(from.width, to.width),
                              .y = y});
}

/// Weights of one axis, computed once for each pair of sizes.
View<float const, 2> PatchResize::weights(std::int64_t m, std::int64_t n) {
  auto& found = weights_[{m, n}];
  if (found.matrix) return found.matrix;
  found.memory = Buffer(space_, n * m * static_cast<std::int64_t>(sizeof(float)));
  found.matrix = found.memory.as<float>(0, n * m).reshaped<2>({n, m});
  auto const values =
      resample_weights(m, n, static_cast<double>(m) / static_cast<double>(n), kernel_);
  copy_to_space(space_, found.matrix, std::span<float const>(values));
  return found.matrix;
}

template void PatchResize::operator()(View<float const, 2>, PatchGrid, PatchGrid, View<float, 2>);
template void PatchResize::operator()(View<bfloat16 const, 2>, PatchGrid, PatchGrid,
                                      View<float, 2>);

}  // namespace dino
