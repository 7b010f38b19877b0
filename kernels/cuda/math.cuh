// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/view.hpp"

namespace dino::cuda {

/// eˣ: to the last bits for results in float32, with a relative error below 1e-5 for bfloat16.
template <class T>
__device__ inline float exponential(float x) {
  if constexpr (std::is_same_v<T, float>) return expf(x);
  return __expf(x);
}

/// 1 / x.
template <class T>
__device__ inline float inverse(float x) {
  if constexpr (std::is_same_v<T, float>) return 1.0F / x;
  return __fdividef(1.0F, x);
}

/// σ(x) = 1 / (1 + e⁻ˣ). Beyond |x| = 88 the exponential is held, so that its sum stays finite.
template <class T>
__device__ inline float sigmoid(float x) {
  float const y = x < -88.0F ? -88.0F : x;
  return inverse<T>(1.0F + exponential<T>(-y));
}

/// The standard normal distribution: Φ(x) and e^(-x²/2).
struct Normal {
  float cumulative, exponential;
};

/// The form of host::normal_simd (kernels/host/vector_math.hpp), with its polynomial.
template <class T>
__device__ inline Normal normal(float x) {
  float const u = inverse<T>(1.0F + 0.3F * fabsf(x));
  float p = 0.03754841134563128F;
  p = p * u - 0.16507912601323876F;
  p = p * u + 0.22008805239867085F;
  p = p * u - 0.06652711872393954F;
  p = p * u + 0.13549787237053112F;
  p = p * u + 0.0977556237813352F;
  p = p * u + 0.12111127407622996F;
  p = p * u + 0.1196050357146796F;
  float const e = exponential<T>(-0.5F * x * x);
  float const tail = e * (u * p);
  return {x < 0 ? tail : 1.0F - tail, e};
}

}  // namespace dino::cuda
