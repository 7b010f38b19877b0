// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <bit>
#include <cstdint>

namespace dino::host {

// Functions without branches or calls, which compilers vectorise inside `omp simd` loops and which
// give the same bits on every machine with fused multiply-add.

/// eˣ for x <= 88, relative error below 2e-7; below -87 it stays at e⁻⁸⁷ ≈ 1.6e-38, NaN stays NaN.
/// 2ⁿ times a polynomial on |r| <= ln(2)/2 (coefficients of Cephes expf), with n = round(x / ln 2).
inline float exp_simd(float x) {
  x = x < -87.0F ? -87.0F : x;
  x = x > 88.0F ? 88.0F : x;
  constexpr float shift = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
  float const shifted = x * 1.44269504088896F + shift;
  float const n = shifted - shift;
  float const r = (x - n * 0.693359375F) + n * 2.12194440054690583e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
  auto const exponent = (std::bit_cast<std::uint32_t>(shifted) << 23) + (std::uint32_t{127} << 23);
  return p * std::bit_cast<float>(exponent);
}

/// σ(x) = 1 / (1 + e⁻ˣ); NaN stays NaN.
inline float sigmoid_simd(float x) {
  return 1.0F / (1.0F + exp_simd(-x));
}

/// ln x for normal x > 0, absolute error below 3e-7 where |ln x| < 2, relative beyond.
/// ln(2ⁿ m) = n ln 2 + 2 artanh((m-1)/(m+1)) with m in [√½, √2).
inline float log_simd(float x) {
  constexpr std::uint32_t root_half = 0x3F3504F3;
  auto const offset = std::bit_cast<std::uint32_t>(x) - root_half;
  auto const n = static_cast<float>(static_cast<std::int32_t>(offset) >> 23);
  float const m = std::bit_cast<float>((offset & 0x007FFFFFU) + root_half);
  float const s = (m - 1.0F) / (m + 1.0F);
  float const s2 = s * s;
  float p = 1.0F / 9;
  p = p * s2 + 1.0F / 7;
  p = p * s2 + 1.0F / 5;
  p = p * s2 + 1.0F / 3;
  p = p * s2 + 1.0F;
  return n * 0.693147180559945F + 2.0F * s * p;
}

/// The standard normal distribution: Φ(x) and e^(-x²/2).
struct Normal {
  float cumulative;   ///< Φ(x), relative error below 4e-7 for x > -9
  float exponential;  ///< √(2π) φ(x)
};

/// Φ(-|x|) = e^(-x²/2) u P(u) with u = 1/(1 + 0.3 |x|): the form of Abramowitz & Stegun 26.2.17
/// with a polynomial of degree 8, fitted for least relative error on 0 <= |x| <= 10 (5.1e-8).
inline Normal normal_simd(float x) {
  float const magnitude = x < 0 ? -x : x;
  float const u = 1.0F / (1.0F + 0.3F * magnitude);
  float p = 0.03754841134563128F;
  p = p * u - 0.16507912601323876F;
  p = p * u + 0.22008805239867085F;
  p = p * u - 0.06652711872393954F;
  p = p * u + 0.13549787237053112F;
  p = p * u + 0.0977556237813352F;
  p = p * u + 0.12111127407622996F;
  p = p * u + 0.1196050357146796F;
  float const e = exp_simd(-0.5F * x * x);
  float const tail = e * (u * p);
  return {x < 0 ? tail : 1.0F - tail, e};
}

}  // namespace dino::host
