// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels/cuda/reduce.cuh"
#include "kernels/optimizer.hpp"

namespace dino {
namespace {

struct AdamWValues {
  float *parameter, *exp_avg, *exp_avg_sq;
  float const* gradient;
  float scale, decay, beta1, one_minus_beta1, beta2, one_minus_beta2, step_size, root_scale, eps;
  template <int N>
  __device__ void at(std::int64_t i) const {
    float p[N], m[N], v[N], g[N];
    cuda::load<N>(parameter + i, p);
    cuda::load<N>(exp_avg + i, m);
    cuda::load<N>(exp_avg_sq + i, v);
    cuda::load<N>(gradient + i, g);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      float const d = g[k] * scale;
      m[k] = beta1 * m[k] + one_minus_beta1 * d;
      v[k] = beta2 * v[k] + one_minus_beta2 * (d * d);
      p[k] = p[k] * decay - step_size * m[k] / (sqrtf(v[k]) * root_scale + eps);
    }
    cuda::store<N>(parameter + i, p);
    cuda::store<N>(exp_avg + i, m);
    cuda::store<N>(exp_avg_sq + i, v);
  }
};

struct MomentumValues {
  float *parameter, *buffer;
  float const* gradient;
  float scale, decay, trust, momentum, lr;
  template <int N>
  __device__ void at(std::int64_t i) const {
    float p[N], b[N], g[N];
    cuda::load<N>(parameter + i, p);
    cuda::load<N>(buffer + i, b);
    cuda::load<N>(gradient + i, g);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      b[k] = momentum * b[k] + trust * (g[k] * scale + decay * p[k]);
      p[k] -= lr * b[k];
    }
    cuda::store<N>(parameter + i, p);
    cuda::store<N>(buffer + i, b);
  }
};

/// Σ θ², or Σ (g + wd θ)².
enum class TrustTerm { parameter, update };
template <TrustTerm term>
struct TrustSquares {
  float const *parameter, *gradient;
  float scale, decay;
  template <int N>
  __device__ double at(std::int64_t i) const {
    float v[N], g[N];
    cuda::load<N>(parameter + i, v);
    if constexpr (term == TrustTerm::update) cuda::load<N>(gradient + i, g);
    double sum = 0;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      float const d = term == TrustTerm::update ? g[k] * scale + decay * v[k] : v[k];
      sum += static_cast<double>(d) * static_cast<double>(d);
    }
    return sum;
  }
};

struct EmaValues {
  float* teacher;
  float const* student;
  float momentum, rest;
  template <int N>
  __device__ void at(std::int64_t i) const {
    float t[N], s[N];
    cuda::load<N>(teacher + i, t);
    cuda::load<N>(student + i, s);
#pragma unroll
    for (int k = 0; k < N; ++k) t[k] = momentum * t[k] + rest * s[k];
    cuda::store<N>(teacher + i, t);
  }
};

}  // namespace

void execute(Cuda const& cuda, AdamWStep const& op) {
  auto const t = static_cast<double>(op.step);
  AdamWValues const values{
      .parameter = op.parameter.data(),
      .exp_avg = op.exp_avg.data(),
      .exp_avg_sq = op.exp_avg_sq.data(),
      .gradient = op.gradient.data(),
      .scale = op.gradient_scale,
      .decay = static_cast<float>(1 - op.lr * op.weight_decay),
      .beta1 = static_cast<float>(op.beta1),
      .one_minus_beta1 = static_cast<float>(1 - op.beta1),
      .beta2 = static_cast<float>(op.beta2),
      .one_minus_beta2 = static_cast<float>(1 - op.beta2),
      .step_size = static_cast<float>(op.lr / (1 - std::pow(op.beta1, t))),
      .root_scale = static_cast<float>(1 / std::sqrt(1 - std::pow(op.beta2, t))),
      .eps = static_cast<float>(op.eps)};
  cuda::for_values<cuda::pack_size<float>>(
      cuda, op.parameter.size(),
      cuda::aligned(values.parameter, values.exp_avg, values.exp_avg_sq, values.gradient), values);
}

void execute(Cuda const& cuda, MomentumStep const& op) {
  MomentumValues const values{.parameter = op.parameter.data(),
                              .buffer = op.buffer.data(),
                              .gradient = op.gradient.data(),
                              .scale = op.gradient_scale,
                              .decay = static_cast<float>(op.weight_decay),
                              .trust = static_cast<float>(op.trust),
                              .momentum = static_cast<float>(op.momentum),
                              .lr = static_cast<float>(op.lr)};
  cuda::for_values<cuda::pack_size<float>>(
      cuda, op.parameter.size(), cuda::aligned(values.parameter, values.buffer, values.gradient),
      values);
}

void execute(Cuda const& cuda, TrustSums const& op) {
  auto const add = [&](auto const& squares, double* sum) {
    cuda::sum_values<cuda::pack_size<float>>(cuda, op.parameter.size(),
                                             cuda::aligned(squares.parameter, squares.gradient),
                                             squares, 1.0, sum);
  };
  auto const* const parameter = op.parameter.data();
  auto const* const gradient = op.gradient.data();
  auto const decay = static_cast<float>(op.weight_decay);
  add(TrustSquares<TrustTerm::parameter>{parameter, gradient, op.gradient_scale, decay},
      op.sums.data());
  add(TrustSquares<TrustTerm::update>{parameter, gradient, op.gradient_scale, decay},
      op.sums.data() + 1);
}

void execute(Cuda const& cuda, EmaUpdate const& op) {
  cuda::for_values<cuda::pack_size<float>>(
      cuda, op.teacher.size(), cuda::aligned(op.teacher.data(), op.student.data()),
      EmaValues{op.teacher.data(), op.student.data(), static_cast<float>(op.momentum),
                static_cast<float>(1 - op.momentum)});
}

}  // namespace dino
