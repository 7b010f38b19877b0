// SPDX-License-Identifier: Apache-2.0
#include "kernels/optimizer.hpp"

#include <cmath>

#include "kernels/host/parallel.hpp"

namespace dino {

void execute(Host const&, AdamWStep const& op) {
  auto* const parameter = op.parameter.data();
  auto* const exp_avg = op.exp_avg.data();
  auto* const exp_avg_sq = op.exp_avg_sq.data();
  auto const* const gradient = op.gradient.data();
  auto const t = static_cast<double>(op.step);
  auto const scale = op.gradient_scale;
  auto const decay = static_cast<float>(1 - op.lr * op.weight_decay);
  auto const beta1 = static_cast<float>(op.beta1);
  auto const one_minus_beta1 = static_cast<float>(1 - op.beta1);
  auto const beta2 = static_cast<float>(op.beta2);
  auto const one_minus_beta2 = static_cast<float>(1 - op.beta2);
  auto const step_size = static_cast<float>(op.lr / (1 - std::pow(op.beta1, t)));
  auto const root_scale = static_cast<float>(1 / std::sqrt(1 - std::pow(op.beta2, t)));
  auto const eps = static_cast<float>(op.eps);
  host::parallel_parts(
      op.parameter.size(), host::elements_per_part, [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
        for (std::int64_t i = begin; i < end; ++i) {
          float const g = gradient[i] * scale;
          float const m = beta1 * exp_avg[i] + one_minus_beta1 * g;
          float const v = beta2 * exp_avg_sq[i] + one_minus_beta2 * (g * g);
          exp_avg[i] = m;
          exp_avg_sq[i] = v;
          parameter[i] = parameter[i] * decay - step_size * m / (std::sqrt(v) * root_scale + eps);
        }
      });
}

void execute(Host const&, MomentumStep const& op) {
  auto* const parameter = op.parameter.data();
  auto* const buffer = op.buffer.data();
  auto const* const gradient = op.gradient.data();
  auto const scale = op.gradient_scale;
  auto const decay = static_cast<float>(op.weight_decay);
  auto const trust = static_cast<float>(op.trust);
  auto const momentum = static_cast<float>(op.momentum);
  auto const lr = static_cast<float>(op.lr);
  host::parallel_parts(op.parameter.size(), host::elements_per_part,
                       [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
                         for (std::int64_t i = begin; i < end; ++i) {
                           float const d = trust * (gradient[i] * scale + decay * parameter[i]);
                           buffer[i] = momentum * buffer[i] + d;
                           parameter[i] -= lr * buffer[i];
                         }
                       });
}

void execute(Host const&, TrustSums const& op) {
  auto const* const parameter = op.parameter.data();
  auto const* const gradient = op.gradient.data();
  auto const scale = op.gradient_scale;
  auto const decay = static_cast<float>(op.weight_decay);
  auto const squares = [](auto const& value) {
    return [=](std::int64_t begin, std::int64_t end) {
      double sum = 0;
#pragma omp simd reduction(+ : sum)
      for (std::int64_t i = begin; i < end; ++i) {
        auto const v = static_cast<double>(value(i));
        sum += v * v;
      }
      return sum;
    };
  };
  auto const n = op.parameter.size();
  op.sums[0] += host::parallel_sum(n, squares([=](std::int64_t i) { return parameter[i]; }));
  op.sums[1] += host::parallel_sum(
      n, squares([=](std::int64_t i) { return gradient[i] * scale + decay * parameter[i]; }));
}

void execute(Host const&, EmaUpdate const& op) {
  auto* const teacher = op.teacher.data();
  auto const* const student = op.student.data();
  auto const momentum = static_cast<float>(op.momentum);
  auto const rest = static_cast<float>(1 - op.momentum);
  host::parallel_parts(op.teacher.size(), host::elements_per_part,
                       [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
                         for (std::int64_t i = begin; i < end; ++i)
                           teacher[i] = momentum * teacher[i] + rest * student[i];
                       });
}

}  // namespace dino
