// SPDX-License-Identifier: Apache-2.0
#include "kernels/batch_norm.hpp"

#include <algorithm>
#include <vector>

#include "kernels/host/parallel.hpp"
#include "kernels/host/store.hpp"

namespace dino {
namespace {

/// Rows of a part that one thread takes: some values of each column.
std::int64_t rows_per_part(std::int64_t columns) {
  return std::max<std::int64_t>(1,
                                8 * host::elements_per_part / std::max<std::int64_t>(1, columns));
}

/// sums[0, j] = Σ_i a(i, j) and sums[1, j] = Σ_i b(i, j) with f(i, j) = {a, b}, in float64. Parts
/// of the rows are summed by themselves; their number depends on the rows alone, so that the bits
/// do not depend on the number of threads.
template <class F>
void column_sums(std::int64_t rows, std::int64_t columns, double* sums, F const& f) {
  constexpr std::int64_t most = 16;
  auto const parts = std::clamp<std::int64_t>(rows / 512, 1, most);
  static thread_local std::vector<double> memory;
  if (memory.size() < static_cast<std::size_t>(2 * most * columns))
    memory.resize(static_cast<std::size_t>(2 * most * columns));
  auto* const all = memory.data();
  host::parallel_rows(parts, [=](std::int64_t part) {
    auto* const first = all + 2 * part * columns;
    auto* const second = first + columns;
    std::fill_n(first, 2 * columns, 0.0);
    for (auto i = rows * part / parts; i < rows * (part + 1) / parts; ++i) {
#pragma omp simd
      for (std::int64_t j = 0; j < columns; ++j) f(i, j, first[j], second[j]);
    }
  });
  std::copy_n(all, 2 * columns, sums);
  for (std::int64_t part = 1; part < parts; ++part) {
    for (std::int64_t k = 0; k < 2 * columns; ++k) sums[k] += all[2 * part * columns + k];
  }
}

template <bool residual, Relu relu, class T>
void forward_rows(BatchNormForward<T> const& op) {
  auto const columns = op.x.extent(1);
  host::parallel_parts(
      op.x.extent(0), rows_per_part(columns), [=](std::int64_t begin, std::int64_t end) {
        auto const* const mean = op.mean.data();
        auto const* const rstd = op.rstd.data();
        auto const* const weight = op.weight.data();
        auto const* const bias = op.bias.data();
        for (auto i = begin; i < end; ++i) {
          auto const* const x = op.x.row(i);
          auto const* const r = residual ? op.residual.row(i) : nullptr;
          auto* const y = op.y.row(i);
#pragma omp simd
          for (std::int64_t j = 0; j < columns; ++j) {
            float z =
                (static_cast<float>(x[j]) - mean[j]) * rstd[j] * static_cast<float>(weight[j]) +
                static_cast<float>(bias[j]);
            if constexpr (residual) z += static_cast<float>(r[j]);
            if constexpr (relu == Relu::yes) z = z < 0 ? 0.0F : z;  // NaN stays NaN
            host::store(y[j], z);
          }
        }
      });
}

template <bool residual, Relu relu, class T>
void backward_rows(BatchNormBackward<T> const& op) {
  auto const columns = op.x.extent(1);
  auto const share = 1.0 / op.rows;
  host::parallel_parts(
      op.x.extent(0), rows_per_part(columns), [=](std::int64_t begin, std::int64_t end) {
        auto const* const mean = op.mean.data();
        auto const* const rstd = op.rstd.data();
        auto const* const weight = op.weight.data();
        auto const* const sums = op.sums.data();
        for (auto i = begin; i < end; ++i) {
          auto const* const x = op.x.row(i);
          auto const* const dy = op.dy.row(i);
          auto const* const y = relu == Relu::yes ? op.y.row(i) : nullptr;
          auto* const dx = op.dx.row(i);
          auto* const dr = residual ? op.dresidual.row(i) : nullptr;
#pragma omp simd
          for (std::int64_t j = 0; j < columns; ++j) {
            float dz = static_cast<float>(dy[j]);
            if constexpr (relu == Relu::yes) dz = static_cast<float>(y[j]) > 0 ? dz : 0.0F;
            float const normalized = (static_cast<float>(x[j]) - mean[j]) * rstd[j];
            auto const average = static_cast<float>(sums[j] * share);
            auto const slope = static_cast<float>(sums[columns + j] * share);
            if constexpr (residual) host::store(dr[j], dz);
            host::store(dx[j], static_cast<float>(weight[j]) * rstd[j] *
                                   (dz - average - normalized * slope));
          }
        }
      });
}

}  // namespace

template <class T>
void execute(Host const&, BatchMoments<T> const& op) {
  auto const columns = op.x.extent(1);
  auto const* const x = op.x.data();
  column_sums(op.x.extent(0), columns, op.sums.data(),
              [=](std::int64_t i, std::int64_t j, double& sum, double& squares) {
                double const v = static_cast<float>(x[i * columns + j]);
                sum += v;
                squares += v * v;
              });
}

template <class T>
void execute(Host const&, BatchNormForward<T> const& op) {
  bool const residual = op.residual.size() > 0;
  if (op.relu == Relu::yes) {
    residual ? forward_rows<true, Relu::yes>(op) : forward_rows<false, Relu::yes>(op);
  } else {
    residual ? forward_rows<true, Relu::no>(op) : forward_rows<false, Relu::no>(op);
  }
}

template <class T>
void execute(Host const&, BatchNormBackwardSums<T> const& op) {
  auto const columns = op.x.extent(1);
  auto const* const x = op.x.data();
  auto const* const dy = op.dy.data();
  auto const* const y = op.y.data();
  auto const* const mean = op.mean.data();
  auto const* const rstd = op.rstd.data();
  auto const sum_up = [&](auto const& dz) {
    column_sums(op.x.extent(0), columns, op.sums.data(),
                [=](std::int64_t i, std::int64_t j, double& sum, double& product) {
                  auto const k = i * columns + j;
                  float const d = dz(k);
                  sum += static_cast<double>(d);
                  product +=
                      static_cast<double>(d * ((static_cast<float>(x[k]) - mean[j]) * rstd[j]));
                });
  };
  if (op.y.size() > 0) {
    sum_up([=](std::int64_t k) {
      return static_cast<float>(y[k]) > 0 ? static_cast<float>(dy[k]) : 0.0F;
    });
  } else {
    sum_up([=](std::int64_t k) { return static_cast<float>(dy[k]); });
  }
  for (std::int64_t j = 0; j < columns; ++j) {
    op.dbias[j] += static_cast<float>(op.sums[j]);
    op.dweight[j] += static_cast<float>(op.sums[columns + j]);
  }
}

template <class T>
void execute(Host const&, BatchNormBackward<T> const& op) {
  if (op.x.size() == 0) return;
  bool const residual = op.dresidual.size() > 0;
  if (op.y.size() > 0) {
    residual ? backward_rows<true, Relu::yes>(op) : backward_rows<false, Relu::yes>(op);
  } else {
    residual ? backward_rows<true, Relu::no>(op) : backward_rows<false, Relu::no>(op);
  }
}

template void execute(Host const&, BatchMoments<float> const&);
template void execute(Host const&, BatchMoments<bfloat16> const&);
template void execute(Host const&, BatchNormForward<float> const&);
template void execute(Host const&, BatchNormForward<bfloat16> const&);
template void execute(Host const&, BatchNormBackwardSums<float> const&);
template void execute(Host const&, BatchNormBackwardSums<bfloat16> const&);
template void execute(Host const&, BatchNormBackward<float> const&);
template void execute(Host const&, BatchNormBackward<bfloat16> const&);

}  // namespace dino
