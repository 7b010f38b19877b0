// SPDX-License-Identifier: Apache-2.0
#include "kernels/sinkhorn.hpp"

#include "kernels/host/parallel.hpp"
#include "kernels/host/row_math.hpp"
#include "kernels/host/vector_math.hpp"

namespace dino {
namespace {

double scaled_row_sum(float const* x, double const* column_scale, std::int64_t count) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t k = 0; k < count; ++k) sum += static_cast<double>(x[k]) * column_scale[k];
  return sum;
}

}  // namespace

void execute(Host const&, SinkhornExponential const& op) {
  auto const count = op.x.extent(1);
  if (count == 0) return;
  host::parallel_rows(op.x.extent(0), [=](std::int64_t row) {
    auto* const x = op.x.row(row);
    float const sharpness = 1.0F / op.temperature;
    float const largest = host::row_max(count, [=](std::int64_t k) { return x[k]; });
#pragma omp simd
    for (std::int64_t k = 0; k < count; ++k) x[k] = host::exp_simd((x[k] - largest) * sharpness);
    op.row_max[row] = static_cast<double>(largest) / static_cast<double>(op.temperature);
  });
}

void execute(Host const&, ScaledColumnSums const& op) {
  constexpr std::int64_t columns = 256;
  auto const rows = op.x.extent(0);
  auto const* const scale = op.row_scale.data();
  auto* const sums = op.sums.data();
  double const factor = op.factor;
  host::parallel_parts(op.x.extent(1), columns, [=](std::int64_t begin, std::int64_t end) {
    double partial[columns] = {};
    for (std::int64_t i = 0; i < rows; ++i) {
      auto const* const x = op.x.row(i);
      double const c = scale[i];
#pragma omp simd
      for (std::int64_t k = begin; k < end; ++k)
        partial[k - begin] += static_cast<double>(x[k]) * c;
    }
    for (std::int64_t k = begin; k < end; ++k) sums[k] = factor * sums[k] + partial[k - begin];
  });
}

void execute(Host const&, InverseRowSums const& op) {
  auto const count = op.x.extent(1);
  host::parallel_rows(op.x.extent(0), [=](std::int64_t row) {
    op.row_scale[row] = 1.0 / scaled_row_sum(op.x.row(row), op.column_scale.data(), count);
  });
}

void execute(Host const&, NormalizeScaledRows const& op) {
  auto const count = op.x.extent(1);
  host::parallel_rows(op.x.extent(0), [=](std::int64_t row) {
    auto* const x = op.x.row(row);
    auto const* const r = op.column_scale.data();
    double const c = 1.0 / scaled_row_sum(x, r, count);
#pragma omp simd
    for (std::int64_t k = 0; k < count; ++k)
      x[k] = static_cast<float>(static_cast<double>(x[k]) * r[k] * c);
  });
}

}  // namespace dino
