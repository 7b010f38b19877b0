// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm.hpp"

#include <cmath>

#include "kernels/host/parallel.hpp"
#include "kernels/host/row_math.hpp"
#include "kernels/host/store.hpp"

namespace dino {

namespace {

template <class T>
float dot(T const* a, T const* b, std::int64_t n) {
  return host::row_sum(
      n, [=](std::int64_t i) { return static_cast<float>(a[i]) * static_cast<float>(b[i]); });
}

/// One row of either norm's backward: dx (+)= rstd (g - mean(g) - x̂ mean(g x̂)) with g = dy weight
/// and x̂ = (x - mean) rstd; without the middle term where the rows are not centred (RMSNorm).
struct NormRow {
  float mean, rstd;
  bool centred, accumulate;
};

template <class T>
void norm_row_backward(T const* dy, T const* x, T const* weight, NormRow const& norm, T* dx,
                       std::int64_t width) {
  float const mean = norm.mean, rstd = norm.rstd;
  auto const dnormalized = [=](std::int64_t i) {
    return static_cast<float>(dy[i]) * static_cast<float>(weight[i]);
  };
  auto const normalized = [=](std::int64_t i) { return (static_cast<float>(x[i]) - mean) * rstd; };
  auto const n = static_cast<float>(width);
  float const average = norm.centred ? host::row_sum(width, dnormalized) / n : 0.0F;
  float const slope =
      host::row_sum(width, [=](std::int64_t i) { return dnormalized(i) * normalized(i); }) / n;
  if (norm.accumulate) {
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) {
      host::store(dx[i], static_cast<float>(dx[i]) +
                             rstd * (dnormalized(i) - average - normalized(i) * slope));
    }
  } else {
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) {
      host::store(dx[i], rstd * (dnormalized(i) - average - normalized(i) * slope));
    }
  }
}

/// Rows that stay in the cache between the column sums of a norm's backward and its rows: the sums
/// come first, because dx may take the place of dy.
constexpr std::int64_t norm_block = 64;

}  // namespace

template <class T>
void execute(Host const&, LayerNormForward<T> const& op) {
  bool const keep = op.mean.size() > 0;
  host::parallel_rows(op.x.extent(0), [=](std::int64_t row) {
    auto const width = op.x.extent(1);
    auto const* const x = op.x.row(row);
    auto const* const weight = op.weight.data();
    auto const* const bias = op.bias.data();
    auto* const y = op.y.row(row);
    auto const n = static_cast<float>(width);
    float const mean =
        host::row_sum(width, [=](std::int64_t i) { return static_cast<float>(x[i]); }) / n;
    float const variance = host::row_sum(width,
                                         [=](std::int64_t i) {
                                           float const d = static_cast<float>(x[i]) - mean;
                                           return d * d;
                                         }) /
                           n;
    float const rstd = 1.0F / std::sqrt(variance + op.eps);
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) {
      host::store(y[i], (static_cast<float>(x[i]) - mean) * rstd * static_cast<float>(weight[i]) +
                            static_cast<float>(bias[i]));
    }
    if (keep) {
      op.mean[row] = mean;
      op.rstd[row] = rstd;
    }
  });
}

template <class T>
void execute(Host const&, LayerNormBackward<T> const& op) {
  auto const rows = op.x.extent(0), width = op.x.extent(1);
  for (std::int64_t first = 0; first < rows; first += norm_block) {
    auto const count = std::min(norm_block, rows - first);
    auto const* const x = op.x.row(first);
    auto const* const dy = op.dy.row(first);
    auto const* const mean = op.mean.data() + first;
    auto const* const rstd = op.rstd.data() + first;
    host::add_column_sums(count, width, op.dbias.data(), [=](std::int64_t i, std::int64_t j) {
      return static_cast<float>(dy[i * width + j]);
    });
    host::add_column_sums(count, width, op.dweight.data(), [=](std::int64_t i, std::int64_t j) {
      return static_cast<float>(dy[i * width + j]) *
             ((static_cast<float>(x[i * width + j]) - mean[i]) * rstd[i]);
    });
    host::parallel_rows(count, [=](std::int64_t i) {
      norm_row_backward(op.dy.row(first + i), op.x.row(first + i), op.weight.data(),
                        {mean[i], rstd[i], true, op.accumulate}, op.dx.row(first + i), width);
    });
  }
}

template <class T>
void execute(Host const&, RmsNormForward<T> const& op) {
  bool const keep = op.rstd.size() > 0;
  host::parallel_rows(op.x.extent(0), [=](std::int64_t row) {
    auto const width = op.x.extent(1);
    auto const* const x = op.x.row(row);
    auto const* const weight = op.weight.data();
    auto* const y = op.y.row(row);
    float const rstd = 1.0F / std::sqrt(dot(x, x, width) / static_cast<float>(width) + op.eps);
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i)
      host::store(y[i], static_cast<float>(x[i]) * rstd * static_cast<float>(weight[i]));
    if (keep) op.rstd[row] = rstd;
  });
}

template <class T>
void execute(Host const&, RmsNormBackward<T> const& op) {
  auto const rows = op.x.extent(0), width = op.x.extent(1);
  for (std::int64_t first = 0; first < rows; first += norm_block) {
    auto const count = std::min(norm_block, rows - first);
    auto const* const x = op.x.row(first);
    auto const* const dy = op.dy.row(first);
    auto const* const rstd = op.rstd.data() + first;
    host::add_column_sums(count, width, op.dweight.data(), [=](std::int64_t i, std::int64_t j) {
      return static_cast<float>(dy[i * width + j]) *
             (static_cast<float>(x[i * width + j]) * rstd[i]);
    });
    host::parallel_rows(count, [=](std::int64_t i) {
      norm_row_backward(op.dy.row(first + i), op.x.row(first + i), op.weight.data(),
                        {0.0F, rstd[i], false, op.accumulate}, op.dx.row(first + i), width);
    });
  }
}

template <class T>
void execute(Host const&, L2NormalizeForward<T> const& op) {
  host::parallel_rows(op.x.extent(0), [=](std::int64_t row) {
    auto const width = op.x.extent(1);
    auto const* const x = op.x.row(row);
    auto* const y = op.y.row(row);
    float const norm = std::sqrt(dot(x, x, width));
    float const factor = 1.0F / std::max(norm, op.eps);
    op.norm[row] = norm;
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) host::store(y[i], static_cast<float>(x[i]) * factor);
  });
}

template <class T>
void execute(Host const&, L2NormalizeBackward<T> const& op) {
  host::parallel_rows(op.y.extent(0), [=](std::int64_t row) {
    auto const width = op.y.extent(1);
    auto const* const y = op.y.row(row);
    auto const* const dy = op.dy.row(row);
    auto* const dx = op.dx.row(row);
    bool const clamped = !(op.norm[row] > op.eps);
    float const factor = 1.0F / (clamped ? op.eps : op.norm[row]);
    float const projection = clamped ? 0.0F : dot(y, dy, width);
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) {
      host::store(dx[i],
                  (static_cast<float>(dy[i]) - static_cast<float>(y[i]) * projection) * factor);
    }
  });
}

template <class T>
void execute(Host const&, WeightNormForward<T> const& op) {
  host::parallel_rows(op.v.extent(0), [=](std::int64_t row) {
    auto const width = op.v.extent(1);
    auto const* const v = op.v.row(row);
    auto* const weight = op.weight.row(row);
    float const factor = static_cast<float>(op.g[row]) / std::sqrt(dot(v, v, width));
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i)
      host::store(weight[i], static_cast<float>(v[i]) * factor);
  });
}

template <class T>
void execute(Host const&, WeightNormBackward<T> const& op) {
  bool const free_scale = op.dg.size() > 0;
  host::parallel_rows(op.v.extent(0), [=](std::int64_t row) {
    auto const width = op.v.extent(1);
    auto const* const v = op.v.row(row);
    auto const* const gradient = op.dweight.row(row);
    auto* const dv = op.dv.row(row);
    float const inverse = 1.0F / std::sqrt(dot(v, v, width));
    float const projection = inverse * host::row_sum(width, [=](std::int64_t i) {
                               return gradient[i] * static_cast<float>(v[i]);
                             });
    float const factor = static_cast<float>(op.g[row]) * inverse;
    float const along = projection * inverse;
    if (free_scale) op.dg[row] += projection;
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i)
      dv[i] += factor * (gradient[i] - along * static_cast<float>(v[i]));
  });
}

template void execute(Host const&, LayerNormForward<float> const&);
template void execute(Host const&, LayerNormForward<bfloat16> const&);
template void execute(Host const&, LayerNormBackward<float> const&);
template void execute(Host const&, LayerNormBackward<bfloat16> const&);
template void execute(Host const&, RmsNormForward<float> const&);
template void execute(Host const&, RmsNormForward<bfloat16> const&);
template void execute(Host const&, RmsNormBackward<float> const&);
template void execute(Host const&, RmsNormBackward<bfloat16> const&);
template void execute(Host const&, L2NormalizeForward<float> const&);
template void execute(Host const&, L2NormalizeForward<bfloat16> const&);
template void execute(Host const&, L2NormalizeBackward<float> const&);
template void execute(Host const&, L2NormalizeBackward<bfloat16> const&);
template void execute(Host const&, WeightNormForward<float> const&);
template void execute(Host const&, WeightNormForward<bfloat16> const&);
template void execute(Host const&, WeightNormBackward<float> const&);
template void execute(Host const&, WeightNormBackward<bfloat16> const&);

}  // namespace dino
