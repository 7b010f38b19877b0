// SPDX-License-Identifier: Apache-2.0
// Runs device kernels on the processor: the threads of a block take turns, each on a stack of its
// own, and wait for each other where a device's would. Slow; it shows whether indices, reductions
// and barriers are right, not whether threads race.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(threads)

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace dino::emulator {

struct Index {
  unsigned x = 0, y = 0, z = 0;
};

/// What the running thread sees of its launch.
struct Place {
  Index thread, block;
  dim3 block_size, grid_size;
  void* dynamic_shared = nullptr;
};
Place& here();

/// Runs every block of a launch, one after the other; none where DINO_EMULATOR_ONLY_COUNTS
/// is set, for models that are too large to be computed. Ends the program where a launch is not
/// allowed on a device, or where threads wait for what never comes.
void run(dim3 grid, dim3 block, std::size_t shared_bytes, std::function<void()> const& thread);

/// How many launches there were, and whether they were only counted.
std::int64_t launch_count();
bool only_counts();

/// Waits for the other threads of the block, or of the warp; all have to come.
void wait_for_block();
void wait_for_warp();
/// 16 bytes of this thread's warp for each of its lanes.
unsigned char (*warp_slots())[16];
int lane();

template <class T>
T from_lane(T value, int from) {
  static_assert(sizeof(T) <= 16);
  std::memcpy(warp_slots()[lane()], &value, sizeof value);
  wait_for_warp();
  std::memcpy(&value, warp_slots()[from], sizeof value);
  wait_for_warp();
  return value;
}

}  // namespace dino::emulator

#define threadIdx (dino::emulator::here().thread)
#define blockIdx (dino::emulator::here().block)
#define blockDim (dino::emulator::here().block_size)
#define gridDim (dino::emulator::here().grid_size)

inline void __syncthreads() {
  dino::emulator::wait_for_block();
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return dino::emulator::from_lane(value, dino::emulator::lane() ^ mask);
}
template <class T>
T __shfl_sync(unsigned, T value, int from) {
  return dino::emulator::from_lane(value, from);
}
inline unsigned __ballot_sync(unsigned, bool value) {
  auto const mine = value ? 1U << dino::emulator::lane() : 0U;
  unsigned all = 0;
  for (int i = 0; i < 32; ++i) all |= dino::emulator::from_lane(mine, i);
  return all;
}
inline float __expf(float x) {
  return std::exp(x);
}
inline float __fdividef(float a, float b) {
  return a / b;
}
inline float __uint_as_float(std::uint32_t bits) {
  float x = 0;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
inline int __ffs(int bits) {
  return __builtin_ffs(bits);
}
inline float atomicAdd(float* to, float value) {
  float const before = *to;
  *to += value;
  return before;
}
using std::isnan;
