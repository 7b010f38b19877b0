// SPDX-License-Identifier: Apache-2.0
#include "kernels/residual.hpp"

#include "kernels/host/parallel.hpp"
#include "kernels/host/row_math.hpp"
#include "kernels/host/store.hpp"

namespace dino {
namespace {

/// Row of the full matrix that row i of a branch stands for, and the factor of the branch there.
struct BranchRows {
  View<std::int32_t const, 1> rows;
  View<float const, 1> scale;
  std::int64_t row(std::int64_t i) const { return rows ? rows[i] : i; }
  float factor(std::int64_t i) const { return scale.empty() ? 1.0F : scale[i]; }
};

}  // namespace

template <class T>
void execute(Host const&, RowGather<T> const& op) {
  auto const width = op.x.extent(1);
  host::parallel_rows(op.y.extent(0), [=](std::int64_t i) {
    auto const* const from = op.x.row(op.rows[i]);
    std::copy(from, from + width, op.y.row(i));
  });
}

template <class T>
void execute(Host const&, RowScatterAdd<T> const& op) {
  auto const width = op.x.extent(1);
  host::parallel_rows(op.x.extent(0), [=](std::int64_t i) {
    auto const* const x = op.x.row(i);
    auto* const y = op.y.row(op.rows[i]);
#pragma omp simd
    for (std::int64_t d = 0; d < width; ++d)
      host::store(y[d], static_cast<float>(y[d]) + static_cast<float>(x[d]));
  });
}

template <class T>
void execute(Host const&, ResidualForward<T> const& op) {
  auto const width = op.x.extent(1);
  BranchRows const places{op.rows, op.scale};
  if (op.rows && op.y.data() != op.x.data()) {
    host::parallel_rows(op.x.extent(0), [=](std::int64_t i) {
      std::copy(op.x.row(i), op.x.row(i) + width, op.y.row(i));
    });
  }
  bool const scaled = !op.gamma.empty();
  host::parallel_rows(op.branch.extent(0), [=](std::int64_t i) {
    float const factor = places.factor(i);
    auto const row = places.row(i);
    auto const* const x = op.x.row(row);
    auto const* const branch = op.branch.row(i);
    auto const* const gamma = op.gamma.data();
    auto* const y = op.y.row(row);
    if (scaled) {
#pragma omp simd
      for (std::int64_t d = 0; d < width; ++d)
        host::store(y[d], static_cast<float>(x[d]) + factor * static_cast<float>(gamma[d]) *
                                                         static_cast<float>(branch[d]));
    } else {
#pragma omp simd
      for (std::int64_t d = 0; d < width; ++d)
        host::store(y[d], static_cast<float>(x[d]) + factor * static_cast<float>(branch[d]));
    }
  });
}

template <class T>
void execute(Host const&, ResidualBackward<T> const& op) {
  auto const width = op.dy.extent(1);
  BranchRows const places{op.rows, op.scale};
  bool const scaled = !op.gamma.empty();
  host::parallel_rows(op.dbranch.extent(0), [=](std::int64_t i) {
    float const factor = places.factor(i);
    auto const* const dy = op.dy.row(places.row(i));
    auto const* const gamma = op.gamma.data();
    auto* const out = op.dbranch.row(i);
    if (scaled) {
#pragma omp simd
      for (std::int64_t d = 0; d < width; ++d)
        host::store(out[d], factor * static_cast<float>(gamma[d]) * static_cast<float>(dy[d]));
    } else {
#pragma omp simd
      for (std::int64_t d = 0; d < width; ++d)
        host::store(out[d], factor * static_cast<float>(dy[d]));
    }
  });
  if (op.dgamma.empty()) return;
  host::add_column_sums(
      op.dbranch.extent(0), width, op.dgamma.data(), [=](std::int64_t i, std::int64_t d) {
        return places.factor(i) * static_cast<float>(op.dy.row(places.row(i))[d]) *
               static_cast<float>(op.branch.row(i)[d]);
      });
}

template void execute(Host const&, RowGather<float> const&);
template void execute(Host const&, RowGather<bfloat16> const&);
template void execute(Host const&, RowScatterAdd<float> const&);
template void execute(Host const&, RowScatterAdd<bfloat16> const&);
template void execute(Host const&, ResidualForward<float> const&);
template void execute(Host const&, ResidualForward<bfloat16> const&);
template void execute(Host const&, ResidualBackward<float> const&);
template void execute(Host const&, ResidualBackward<bfloat16> const&);

}  // namespace dino
