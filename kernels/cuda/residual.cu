// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/column_sums.cuh"
#include "kernels/residual.hpp"

namespace dino {
namespace {

/// Row of the full matrix that row i of a branch stands for, and the factor of the branch there.
struct BranchRows {
  std::int32_t const* rows;  ///< null: all in order
  float const* scale;        ///< null: all one
  template <class T>
  explicit BranchRows(T const& op)
      : rows(op.rows.data()), scale(op.scale.empty() ? nullptr : op.scale.data()) {}
  __device__ std::int64_t row(std::int64_t i) const { return rows != nullptr ? rows[i] : i; }
  __device__ float factor(std::int64_t i) const { return scale != nullptr ? scale[i] : 1.0F; }
};

/// Two rows that belong together, and a factor.
struct RowPair {
  std::int64_t full, part;
  float factor;
};

template <class T>
struct GatherRows {
  std::int64_t width;
  T const* x;
  std::int32_t const* rows;
  T* y;
  __device__ RowPair line(std::int64_t i) const { return {rows[i] * width, i * width, 1}; }
  template <int N>
  __device__ void at(RowPair const& line, std::int64_t d) const {
    cuda::copy<N>(x + line.full + d, y + line.part + d);
  }
};

template <class T>
struct ScatterRows {
  std::int64_t width;
  T const* x;
  std::int32_t const* rows;
  T* y;
  __device__ RowPair line(std::int64_t i) const { return {rows[i] * width, i * width, 1}; }
  template <int N>
  __device__ void at(RowPair const& line, std::int64_t d) const {
    float v[N], w[N];
    cuda::load<N>(x + line.part + d, v);
    cuda::load<N>(y + line.full + d, w);
#pragma unroll
    for (int k = 0; k < N; ++k) w[k] += v[k];
    cuda::store<N>(y + line.full + d, w);
  }
};

template <class T>
struct CopyValues {
  T const* x;
  T* y;
  template <int N>
  __device__ void at(std::int64_t i) const {
    cuda::copy<N>(x + i, y + i);
  }
};

/// w = factor gamma of a row's values from d on.
template <int N, class T>
__device__ void branch_factors(T const* gamma, float factor, std::int64_t d, float (&w)[N]) {
  if (gamma != nullptr) {
    cuda::load<N>(gamma + d, w);
  } else {
#pragma unroll
    for (int k = 0; k < N; ++k) w[k] = 1;
  }
#pragma unroll
  for (int k = 0; k < N; ++k) w[k] *= factor;
}

template <class T>
struct AddBranch {
  std::int64_t width;
  BranchRows places;
  T const *x, *branch, *gamma;
  T* y;
  __device__ RowPair line(std::int64_t i) const {
    return {places.row(i) * width, i * width, places.factor(i)};
  }
  template <int N>
  __device__ void at(RowPair const& line, std::int64_t d) const {
    float v[N], b[N], w[N];
    cuda::load<N>(x + line.full + d, v);
    cuda::load<N>(branch + line.part + d, b);
    branch_factors<N>(gamma, line.factor, d, w);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] += w[k] * b[k];
    cuda::store<N>(y + line.full + d, v);
  }
};

template <class T>
struct BranchGradient {
  std::int64_t width;
  BranchRows places;
  T const *dy, *gamma;
  T* dbranch;
  __device__ RowPair line(std::int64_t i) const {
    return {places.row(i) * width, i * width, places.factor(i)};
  }
  template <int N>
  __device__ void at(RowPair const& line, std::int64_t d) const {
    float v[N], w[N];
    cuda::load<N>(dy + line.full + d, v);
    branch_factors<N>(gamma, line.factor, d, w);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] *= w[k];
    cuda::store<N>(dbranch + line.part + d, v);
  }
};

template <class T>
struct GammaColumns {
  std::int64_t width;
  BranchRows places;
  T const *dy, *branch;
  template <int N>
  __device__ void at(std::int64_t i, std::int64_t d, float (&v)[1][N]) const {
    float b[N];
    float const factor = places.factor(i);
    cuda::load<N>(dy + places.row(i) * width + d, v[0]);
    cuda::load<N>(branch + i * width + d, b);
#pragma unroll
    for (int k = 0; k < N; ++k) v[0][k] *= factor * b[k];
  }
};

}  // namespace

template <class T>
void execute(Cuda const& cuda, RowGather<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const width = op.x.extent(1);
  cuda::for_rows<n>(cuda, op.y.extent(0), width,
                    cuda::aligned_rows<n>(width, op.x.data(), op.y.data()),
                    GatherRows<T>{width, op.x.data(), op.rows.data(), op.y.data()});
}

template <class T>
void execute(Cuda const& cuda, RowScatterAdd<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const width = op.x.extent(1);
  cuda::for_rows<n>(cuda, op.x.extent(0), width,
                    cuda::aligned_rows<n>(width, op.x.data(), op.y.data()),
                    ScatterRows<T>{width, op.x.data(), op.rows.data(), op.y.data()});
}

template <class T>
void execute(Cuda const& cuda, ResidualForward<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const width = op.x.extent(1);
  if (op.rows && op.y.data() != op.x.data()) {
    cuda::for_values<n>(cuda, op.x.size(), cuda::aligned(op.x.data(), op.y.data()),
                        CopyValues<T>{op.x.data(), op.y.data()});
  }
  auto const* const gamma = op.gamma.empty() ? nullptr : op.gamma.data();
  cuda::for_rows<n>(
      cuda, op.branch.extent(0), width,
      cuda::aligned_rows<n>(width, op.x.data(), op.branch.data(), gamma, op.y.data()),
      AddBranch<T>{width, BranchRows(op), op.x.data(), op.branch.data(), gamma, op.y.data()});
}

template <class T>
void execute(Cuda const& cuda, ResidualBackward<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const rows = op.dbranch.extent(0), width = op.dy.extent(1);
  auto const* const gamma = op.gamma.empty() ? nullptr : op.gamma.data();
  cuda::for_rows<n>(
      cuda, rows, width, cuda::aligned_rows<n>(width, op.dy.data(), gamma, op.dbranch.data()),
      BranchGradient<T>{width, BranchRows(op), op.dy.data(), gamma, op.dbranch.data()});
  if (op.dgamma.empty() || rows == 0) return;
  cuda::column_sums<1, n, float>(
      cuda, rows, width, cuda::aligned_rows<n>(width, op.dy.data(), op.branch.data()),
      GammaColumns<T>{width, BranchRows(op), op.dy.data(), op.branch.data()},
      cuda::AddToColumns<1>{{op.dgamma.data()}});
}

template void execute(Cuda const&, RowGather<float> const&);
template void execute(Cuda const&, RowGather<bfloat16> const&);
template void execute(Cuda const&, RowScatterAdd<float> const&);
template void execute(Cuda const&, RowScatterAdd<bfloat16> const&);
template void execute(Cuda const&, ResidualForward<float> const&);
template void execute(Cuda const&, ResidualForward<bfloat16> const&);
template void execute(Cuda const&, ResidualBackward<float> const&);
template void execute(Cuda const&, ResidualBackward<bfloat16> const&);

}  // namespace dino
