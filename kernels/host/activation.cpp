// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.hpp"

#include "kernels/host/parallel.hpp"
#include "kernels/host/row_math.hpp"
#include "kernels/host/store.hpp"
#include "kernels/host/vector_math.hpp"

namespace dino {
namespace {

/// dbias += column sums of dx, where there is a bias.
template <class T>
void add_bias_gradient(View<T const, 2> dx, View<float, 1> dbias) {
  if (dbias.empty()) return;
  auto const width = dx.extent(1);
  auto const* const values = dx.data();
  host::add_column_sums(dx.extent(0), width, dbias.data(), [=](std::int64_t i, std::int64_t j) {
    return static_cast<float>(values[i * width + j]);
  });
}

}  // namespace

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
  add_bias_gradient(View<T const, 2>(op.dx), op.dbias);
}

template <class T>
void execute(Host const&, SwigluForward<T> const& op) {
  auto const width = op.y.extent(1);
  host::parallel_rows(op.y.extent(0), [=](std::int64_t row) {
    auto const* const gate = op.x.row(row);
    auto const* const linear = gate + width;
    auto* const y = op.y.row(row);
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) {
      auto const z = static_cast<float>(gate[i]);
      host::store(y[i], z * host::sigmoid_simd(z) * static_cast<float>(linear[i]));
    }
  });
}

template <class T>
void execute(Host const&, SwigluBackward<T> const& op) {
  auto const width = op.dy.extent(1);
  host::parallel_rows(op.dy.extent(0), [=](std::int64_t row) {
    auto const* const gate = op.x.row(row);
    auto const* const linear = gate + width;
    auto const* const dy = op.dy.row(row);
    auto* const dgate = op.dx.row(row);
    auto* const dlinear = dgate + width;
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) {
      auto const z = static_cast<float>(gate[i]);
      auto const g = static_cast<float>(dy[i]);
      auto const l = static_cast<float>(linear[i]);
      float const s = host::sigmoid_simd(z);
      host::store(dgate[i], g * l * s * (1.0F + z * (1.0F - s)));
      host::store(dlinear[i], g * z * s);
    }
  });
  add_bias_gradient(View<T const, 2>(op.dx), op.dbias);
}

template void execute(Host const&, SwigluForward<float> const&);
template void execute(Host const&, SwigluForward<bfloat16> const&);
template void execute(Host const&, SwigluBackward<float> const&);
template void execute(Host const&, SwigluBackward<bfloat16> const&);
template void execute(Host const&, GeluForward<float> const&);
template void execute(Host const&, GeluForward<bfloat16> const&);
template void execute(Host const&, GeluBackward<float> const&);
template void execute(Host const&, GeluBackward<bfloat16> const&);

}  // namespace dino
