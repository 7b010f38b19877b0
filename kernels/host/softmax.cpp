// SPDX-License-Identifier: Apache-2.0
#include "kernels/softmax.hpp"

#include <cfloat>
#include <cmath>

#include "kernels/host/parallel.hpp"
#include "kernels/host/row_math.hpp"
#include "kernels/host/store.hpp"
#include "kernels/host/vector_math.hpp"

namespace dino {

void execute(Host const&, CenteredSoftmax const& op) {
  auto const count = op.logits.extent(1);
  if (count == 0) return;
  host::parallel_rows(op.logits.extent(0), [=](std::int64_t row) {
    auto const* const logits = op.logits.row(row);
    auto const* const center = op.center.data();
    auto* const out = op.probabilities.row(row);
    float const sharpness = 1.0F / op.temperature;
    float const largest =
        host::row_max(count, [=](std::int64_t k) { return logits[k] - center[k]; });
    double const sum = host::long_row_sum(count, [=](std::int64_t k) {
      float const e = host::exp_simd((logits[k] - center[k] - largest) * sharpness);
      out[k] = e;
      return e;
    });
    auto const factor = static_cast<float>(1.0 / sum);
#pragma omp simd
    for (std::int64_t k = 0; k < count; ++k) out[k] *= factor;
  });
}

void execute(Host const&, ColumnSums const& op) {
  auto const count = op.x.extent(1);
  auto const* const x = op.x.data();
  host::add_column_sums(op.x.extent(0), count, op.sums.data(),
                        [=](std::int64_t i, std::int64_t j) { return x[i * count + j]; });
}

namespace {

/// Loss and gradient of one student row s against the targets target(a), a < crops; those that are
/// null are left out. The largest logit is subtracted in both terms: with targets that sum to 1 it
/// cancels.
template <class T, class Target>
double cross_entropy_row(float const* s, std::int64_t count, float temperature, std::int64_t crops,
                         Target const& target, float factor, T* dlogits) {
  float const sharpness = 1.0F / temperature;
  float const largest = host::row_max(count, [=](std::int64_t k) { return s[k]; });
  double const sum = host::long_row_sum(
      count, [=](std::int64_t k) { return host::exp_simd((s[k] - largest) * sharpness); });
  double agreement = 0, targets = 0;
  for (std::int64_t a = 0; a < crops; ++a) {
    float const* const p = target(a);
    if (p == nullptr) continue;
    targets += 1;
    agreement += host::long_row_sum(
        count, [=](std::int64_t k) { return p[k] * ((s[k] - largest) * sharpness); });
  }

  auto const softmax_factor = static_cast<float>(targets / sum);
  constexpr std::int64_t tile = 512;
  for (std::int64_t begin = 0; begin < count; begin += tile) {
    float wanted[tile] = {};
    auto const n = std::min(tile, count - begin);
    for (std::int64_t a = 0; a < crops; ++a) {
      float const* const p = target(a);
      if (p == nullptr) continue;
#pragma omp simd
      for (std::int64_t k = 0; k < n; ++k) wanted[k] += p[begin + k];
    }
#pragma omp simd
    for (std::int64_t k = 0; k < n; ++k) {
      float const p = host::exp_simd((s[begin + k] - largest) * sharpness) * softmax_factor;
      host::store(dlogits[begin + k], factor * (p - wanted[k]));
    }
  }
  return targets * std::log(sum) - agreement;
}

/// Σ f(row), rows in parallel.
template <class F>
double sum_over_rows(std::int64_t rows, F const& f) {
  return host::parallel_sum(rows, [=](std::int64_t begin, std::int64_t end) {
    double part = 0;
    for (std::int64_t row = begin; row < end; ++row) part += f(row);
    return part;
  });
}

}  // namespace

template <class T>
void execute(Host const&, DinoCrossEntropy<T> const& op) {
  if (op.batch == 0 || op.student.size() == 0) return;
  auto const factor =
      static_cast<float>(op.gradient_factor * op.weight / static_cast<double>(op.temperature));
  bool const same_left_out = op.pairing == CropPairing::different;
  op.loss[0] +=
      op.weight * sum_over_rows(op.student.extent(0), [=](std::int64_t row) {
        auto const crop = row / op.batch, image = row % op.batch;
        return cross_entropy_row(
            op.student.row(row), op.student.extent(1), op.temperature, op.teacher_crops,
            [&](std::int64_t a) {
              return same_left_out && a == crop ? nullptr : op.teacher.row(a * op.batch + image);
            },
            factor, op.dlogits.row(row));
      });
}

template <class T>
void execute(Host const&, TokenCrossEntropy<T> const& op) {
  if (op.student.size() == 0) return;
  double const factor = op.gradient_factor * op.weight / static_cast<double>(op.temperature);
  op.loss[0] +=
      op.weight * sum_over_rows(op.student.extent(0), [=](std::int64_t row) {
        double const row_weight = static_cast<double>(op.row_weights[row]);
        return row_weight * cross_entropy_row(
                                op.student.row(row), op.student.extent(1), op.temperature, 1,
                                [&](std::int64_t) { return op.teacher.row(row); },
                                static_cast<float>(factor * row_weight), op.dlogits.row(row));
      });
}

namespace {

std::int64_t index_of_largest(float const* x, std::int64_t count) {
  float const largest = host::row_max(count, [=](std::int64_t k) { return x[k]; });
  std::int64_t k = 0;
  while (k < count - 1 && x[k] != largest) ++k;
  return k;
}

}  // namespace

void execute(Host const&, ProbabilityStatistics const& op) {
  auto const rows = op.probabilities.extent(0), count = op.probabilities.extent(1);
  if (rows == 0 || count == 0) return;
  op.entropy[0] += host::parallel_sum(rows, [=](std::int64_t begin, std::int64_t end) {
    double part = 0;
    for (std::int64_t row = begin; row < end; ++row) {
      auto const* const p = op.probabilities.row(row);
      part -= host::long_row_sum(count, [=](std::int64_t k) {
        float const normal = p[k] < FLT_MIN ? FLT_MIN : p[k];
        return p[k] * host::log_simd(normal);
      });
    }
    return part;
  });
  constexpr std::int64_t block = 64;
  for (std::int64_t first = 0; first < rows; first += block) {
    std::int64_t largest[block];
    auto* const found = largest;
    auto const n = std::min(block, rows - first);
    host::parallel_rows(n, [=](std::int64_t i) {
      found[i] = index_of_largest(op.probabilities.row(first + i), count);
    });
    for (std::int64_t i = 0; i < n; ++i) op.usage[largest[i]] += 1.0F;
  }
}

template void execute(Host const&, DinoCrossEntropy<float> const&);
template void execute(Host const&, DinoCrossEntropy<bfloat16> const&);
template void execute(Host const&, TokenCrossEntropy<float> const&);
template void execute(Host const&, TokenCrossEntropy<bfloat16> const&);

}  // namespace dino
