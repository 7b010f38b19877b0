// SPDX-License-Identifier: Apache-2.0
#include "kernels/elementwise.hpp"

#include "kernels/host/parallel.hpp"
#include "kernels/host/store.hpp"

namespace dino {

template <class T>
void execute(Host const&, Fill<T> const& op) {
  auto* const y = op.y.data();
  auto const value = static_cast<T>(op.value);
  host::parallel_parts(op.y.size(), host::elements_per_part,
                       [=](std::int64_t begin, std::int64_t end) {
                         for (std::int64_t i = begin; i < end; ++i) y[i] = value;
                       });
}

template <class From, class To>
void execute(Host const&, Cast<From, To> const& op) {
  auto const* const x = op.x.data();
  auto* const y = op.y.data();
  host::parallel_parts(op.x.size(), host::elements_per_part,
                       [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
                         for (std::int64_t i = begin; i < end; ++i)
                           host::store(y[i], static_cast<float>(x[i]));
                       });
}

template <class T>
void execute(Host const&, Axpy<T> const& op) {
  auto const* const x = op.x.data();
  auto* const y = op.y.data();
  auto const a = op.a;
  host::parallel_parts(
      op.x.size(), host::elements_per_part, [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
        for (std::int64_t i = begin; i < end; ++i) {
          host::store(y[i], static_cast<float>(y[i]) + a * static_cast<float>(x[i]));
        }
      });
}

void execute(Host const&, SumOfSquares const& op) {
  auto const* const x = op.x.data();
  op.sum[0] += host::parallel_sum(op.x.size(), [=](std::int64_t begin, std::int64_t end) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = begin; i < end; ++i)
      sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    return sum;
  });
}

void execute(Host const&, Scale const& op) {
  auto* const x = op.x.data();
  auto const factor = op.factor;
  host::parallel_parts(op.x.size(), host::elements_per_part,
                       [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
                         for (std::int64_t i = begin; i < end; ++i) x[i] *= factor;
                       });
}

template void execute(Host const&, Fill<float> const&);
template void execute(Host const&, Fill<bfloat16> const&);
template void execute(Host const&, Fill<double> const&);
template void execute(Host const&, Cast<float, float> const&);
template void execute(Host const&, Cast<float, bfloat16> const&);
template void execute(Host const&, Cast<bfloat16, float> const&);
template void execute(Host const&, Cast<bfloat16, bfloat16> const&);
template void execute(Host const&, Axpy<float> const&);
template void execute(Host const&, Axpy<bfloat16> const&);

}  // namespace dino
