// SPDX-License-Identifier: Apache-2.0
// Reading and writing several neighbouring values at once, in float32.
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/cuda/device.cuh"
#include "kernels/view.hpp"

namespace dino::cuda {

/// N values that are read or written together; aligned to their size, at most 16 bytes.
template <class T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Pack {
  T values[N];
};

/// Values of these types in 16 bytes of the narrowest one.
template <class... T>
constexpr int pack_size = 16 / std::min({sizeof(T)...});

__device__ inline float to_float(float x) {
  return x;
}
__device__ inline float to_float(bfloat16 x) {
  return __uint_as_float(static_cast<std::uint32_t>(x.bits) << 16);
}

__device__ inline void assign(float& to, float x) {
  to = x;
}
__device__ inline void assign(double& to, float x) {
  to = static_cast<double>(x);
}
__device__ inline void assign(bfloat16& to, float x) {
  to.bits = bfloat16_bits(x);
}

/// A value as one of type T stores it.
template <class T>
__device__ inline float rounded(float x) {
  T stored;
  assign(stored, x);
  return to_float(stored);
}

/// v = the N values at p, which is aligned as Pack is.
template <int N, class T>
__device__ inline void load(T const* p, float (&v)[N]) {
  auto const pack = *reinterpret_cast<Pack<T, N> const*>(p);
#pragma unroll
  for (int i = 0; i < N; ++i) v[i] = to_float(pack.values[i]);
}

template <int N, class T>
__device__ inline void store(T* p, float const (&v)[N]) {
  Pack<T, N> pack;
#pragma unroll
  for (int i = 0; i < N; ++i) assign(pack.values[i], v[i]);
  *reinterpret_cast<Pack<T, N>*>(p) = pack;
}

template <int N, class T>
__device__ inline void copy(T const* from, T* to) {
  *reinterpret_cast<Pack<T, N>*>(to) = *reinterpret_cast<Pack<T, N> const*>(from);
}

/// Whether packs can be read from all these addresses (null: nothing is read there).
template <class... P>
bool aligned(P const*... p) {
  return ((reinterpret_cast<std::uintptr_t>(p) % 16 == 0) && ...);
}

}  // namespace dino::cuda
