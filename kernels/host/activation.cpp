// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.hpp"

#include "kernels/host/parallel.hpp"
#include "kernels/host/store.hpp"
#include "kernels/host/vector_math.hpp"

namespace dino {

template <class T>
void execute(Host const&, GeluForward<T> const& op) {
  auto const* const x = op.x.data();
  auto* const y = op.y.data();
  host::parallel_parts(op.x.size(), host::elements_per_part,
                       [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
                         for (std::int64_t i = begin; i < end; ++i) {
                           auto const v = static_cast<float>(x[i]);
                           host::store(y[i], v * host::normal_simd(v).cumulative);
                         }
                       });
}

template <class T>
void execute(Host const&, GeluBackward<T> const& op) {
  constexpr float density = 0.398942280401433F;  // 1 / sqrt(2 pi)
  auto const* const x = op.x.data();
  auto const* const dy = op.dy.data();
  auto* const dx = op.dx.data();
  host::parallel_parts(op.x.size(), host::elements_per_part,
                       [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
                         for (std::int64_t i = begin; i < end; ++i) {
                           auto const v = static_cast<float>(x[i]);
                           auto const normal = host::normal_simd(v);
                           auto const slope = normal.cumulative + v * density * normal.exponential;
                           host::store(dx[i], static_cast<float>(dy[i]) * slope);
                         }
                       });
}

template void execute(Host const&, GeluForward<float> const&);
template void execute(Host const&, GeluForward<bfloat16> const&);
template void execute(Host const&, GeluBackward<float> const&);
template void execute(Host const&, GeluBackward<bfloat16> const&);

}  // namespace dino
