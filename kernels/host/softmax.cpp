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

/// Loss and gradient of one student row against `targets` teacher rows (the second may be absent).
template <class T>
double cross_entropy_row(DinoCrossEntropy<T> const& op, std::int64_t row) {
  auto const count = op.student.extent(1), crop = row / op.batch, image = row % op.batch;
  auto const* const s = op.student.row(row);
  auto const* const first = op.teacher.row(crop == 0 ? op.batch + image : image);
  auto const* const second = crop < 2 ? nullptr : op.teacher.row(op.batch + image);
  auto* const dlogits = op.dlogits.row(row);
  double const targets = second == nullptr ? 1 : 2;
  float const sharpness = 1.0F / op.temperature;
  float const largest = host::row_max(count, [=](std::int64_t k) { return s[k]; });

  double const sum = host::long_row_sum(
      count, [=](std::int64_t k) { return host::exp_simd((s[k] - largest) * sharpness); });
  auto const inner = [=](float const* p) {
    return host::long_row_sum(
        count, [=](std::int64_t k) { return p[k] * ((s[k] - largest) * sharpness); });
  };
  double const agreement = inner(first) + (second == nullptr ? 0.0 : inner(second));

  auto const softmax_factor = static_cast<float>(targets / sum);
  auto const factor = static_cast<float>(op.weight / static_cast<double>(op.temperature));
  auto const gradient = [=](auto const& target) {
#pragma omp simd
    for (std::int64_t k = 0; k < count; ++k) {
      float const p = host::exp_simd((s[k] - largest) * sharpness) * softmax_factor;
      host::store(dlogits[k], factor * (p - target(k)));
    }
  };
  if (second == nullptr) {
    gradient([=](std::int64_t k) { return first[k]; });
  } else {
    gradient([=](std::int64_t k) { return first[k] + second[k]; });
  }
  return targets * std::log(sum) - agreement;
}

}  // namespace

// The largest logit is subtracted in both terms: with targets that sum to 1 it cancels.
template <class T>
void execute(Host const&, DinoCrossEntropy<T> const& op) {
  if (op.batch == 0 || op.student.size() == 0) return;
  double const sum =
      host::parallel_sum(op.student.extent(0), [=](std::int64_t begin, std::int64_t end) {
        double part = 0;
        for (std::int64_t row = begin; row < end; ++row) part += cross_entropy_row(op, row);
        return part;
      });
  op.loss[0] += op.weight * sum;
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

}  // namespace dino
