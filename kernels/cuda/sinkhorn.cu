// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/column_sums.cuh"
#include "kernels/sinkhorn.hpp"

namespace dino {
namespace {

struct LargerValue {
  __device__ float operator()(float a, float b) const { return b > a ? b : a; }
};

struct ExponentialRows {
  std::int64_t count;
  float* x;
  float temperature;
  double* row_max;
  template <int N>
  __device__ void row(std::int64_t row, int lane, int lanes) const {
    auto* const values = x + row * count;
    float mine = -INFINITY;
    for (std::int64_t k = std::int64_t{lane} * N; k < count; k += std::int64_t{lanes} * N) {
      float v[N];
      cuda::load<N>(values + k, v);
#pragma unroll
      for (int i = 0; i < N; ++i) mine = v[i] > mine ? v[i] : mine;
    }
    float const largest = cuda::block_combine(mine, LargerValue{});
    float const sharpness = 1.0F / temperature;
    for (std::int64_t k = std::int64_t{lane} * N; k < count; k += std::int64_t{lanes} * N) {
      float v[N];
      cuda::load<N>(values + k, v);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        float const z = (v[i] - largest) * sharpness;
        v[i] = expf(z < -87.0F ? -87.0F : z);  // NaN stays NaN
      }
      cuda::store<N>(values + k, v);
    }
    if (lane == 0) row_max[row] = static_cast<double>(largest) / static_cast<double>(temperature);
  }
};

struct ScaledColumns {
  std::int64_t count;
  float const* x;
  double const* row_scale;
  template <int N>
  __device__ void at(std::int64_t row, std::int64_t k, double (&v)[1][N]) const {
    float value[N];
    double const scale = row_scale[row];
    cuda::load<N>(x + row * count + k, value);
#pragma unroll
    for (int i = 0; i < N; ++i) v[0][i] = static_cast<double>(value[i]) * scale;
  }
};

struct MoveSums {
  double* sums;
  double factor;
  __device__ void operator()(int, std::int64_t k, double total) const {
    sums[k] = factor * sums[k] + total;
  }
};

/// Σ_k x_k r_k, in all threads of the block.
template <int N>
__device__ double scaled_row_sum(float const* x, double const* column_scale, std::int64_t count,
                                 int lane, int lanes) {
  double sum = 0;
  for (std::int64_t k = std::int64_t{lane} * N; k < count; k += std::int64_t{lanes} * N) {
    float v[N];
    cuda::load<N>(x + k, v);
#pragma unroll
    for (int i = 0; i < N; ++i) sum += static_cast<double>(v[i]) * column_scale[k + i];
  }
  return cuda::block_sum(sum);
}

struct InverseSumRows {
  std::int64_t count;
  float const* x;
  double const* column_scale;
  double* row_scale;
  template <int N>
  __device__ void row(std::int64_t row, int lane, int lanes) const {
    double const sum = scaled_row_sum<N>(x + row * count, column_scale, count, lane, lanes);
    if (lane == 0) row_scale[row] = 1.0 / sum;
  }
};

struct NormalizedRows {
  std::int64_t count;
  float* x;
  double const* column_scale;
  template <int N>
  __device__ void row(std::int64_t row, int lane, int lanes) const {
    auto* const values = x + row * count;
    double const c = 1.0 / scaled_row_sum<N>(values, column_scale, count, lane, lanes);
    for (std::int64_t k = std::int64_t{lane} * N; k < count; k += std::int64_t{lanes} * N) {
      float v[N];
      cuda::load<N>(values + k, v);
#pragma unroll
      for (int i = 0; i < N; ++i)
        v[i] = static_cast<float>(static_cast<double>(v[i]) * column_scale[k + i] * c);
      cuda::store<N>(values + k, v);
    }
  }
};

constexpr int pack = cuda::pack_size<float>;

}  // namespace

void execute(Cuda const& cuda, SinkhornExponential const& op) {
  auto const count = op.x.extent(1);
  if (count == 0) return;
  cuda::for_block_rows<pack>(
      cuda, op.x.extent(0), cuda::aligned_rows<pack>(count, op.x.data()),
      ExponentialRows{count, op.x.data(), op.temperature, op.row_max.data()});
}

void execute(Cuda const& cuda, ScaledColumnSums const& op) {
  auto const count = op.x.extent(1);
  cuda::column_sums<1, pack, double>(
      cuda, op.x.extent(0), count, cuda::aligned_rows<pack>(count, op.x.data()),
      ScaledColumns{count, op.x.data(), op.row_scale.data()}, MoveSums{op.sums.data(), op.factor});
}

void execute(Cuda const& cuda, InverseRowSums const& op) {
  auto const count = op.x.extent(1);
  cuda::for_block_rows<pack>(
      cuda, op.x.extent(0), cuda::aligned_rows<pack>(count, op.x.data()),
      InverseSumRows{count, op.x.data(), op.column_scale.data(), op.row_scale.data()});
}

void execute(Cuda const& cuda, NormalizeScaledRows const& op) {
  auto const count = op.x.extent(1);
  cuda::for_block_rows<pack>(cuda, op.x.extent(0), cuda::aligned_rows<pack>(count, op.x.data()),
                             NormalizedRows{count, op.x.data(), op.column_scale.data()});
}

}  // namespace dino
