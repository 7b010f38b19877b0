// SPDX-License-Identifier: Apache-2.0
#include <cfloat>

#include "kernels/cuda/column_sums.cuh"
#include "kernels/softmax.hpp"

namespace dino {
namespace {

/// The largest value of a row and the sum of e^((value - largest) sharpness): a softmax whose row
/// is read once, however long it is.
struct RowSoftmax {
  float largest, sum;
};

/// Parts of one row put together. A part without values is {-infinity, 0}.
struct JoinSoftmax {
  float sharpness;
  __device__ RowSoftmax operator()(RowSoftmax const& a, RowSoftmax const& b) const {
    float const largest = b.largest > a.largest ? b.largest : a.largest;
    return {largest, scaled(a, largest) + scaled(b, largest)};
  }
  __device__ float scaled(RowSoftmax const& part, float largest) const {
    return part.largest == largest ? part.sum
                                   : part.sum * expf((part.largest - largest) * sharpness);
  }
};

/// Of the values value<N>(k, v), k < count, in all threads of the block.
template <int N, class Values>
__device__ RowSoftmax row_softmax(std::int64_t count, float sharpness, int lane, int lanes,
                                  Values const& value) {
  JoinSoftmax const join{sharpness};
  RowSoftmax mine{-INFINITY, 0};
  for (std::int64_t k = std::int64_t{lane} * N; k < count; k += std::int64_t{lanes} * N) {
    float v[N];
    value(k, v);
    float largest = v[0];
#pragma unroll
    for (int i = 1; i < N; ++i) largest = v[i] > largest ? v[i] : largest;
    RowSoftmax pack{largest, 0};
#pragma unroll
    for (int i = 0; i < N; ++i)  // the largest may be -infinity
      pack.sum += v[i] == largest ? 1.0F : expf((v[i] - largest) * sharpness);
    mine = join(mine, pack);
  }
  return cuda::block_combine(mine, join);
}

struct CenteredRows {
  std::int64_t count;
  float const *logits, *center;
  float sharpness;
  float* probabilities;
  template <int N>
  __device__ void row(std::int64_t row, int lane, int lanes) const {
    auto const at = row * count;
    auto const centred = [&](std::int64_t k, float(&v)[N]) {
      float c[N];
      cuda::load<N>(logits + at + k, v);
      cuda::load<N>(center + k, c);
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] -= c[i];
    };
    auto const softmax = row_softmax<N>(count, sharpness, lane, lanes, centred);
    float const factor = 1.0F / softmax.sum;
    for (std::int64_t k = std::int64_t{lane} * N; k < count; k += std::int64_t{lanes} * N) {
      float v[N];
      centred(k, v);
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] = expf((v[i] - softmax.largest) * sharpness) * factor;
      cuda::store<N>(probabilities + at + k, v);
    }
  }
};

struct ValueColumns {
  std::int64_t count;
  float const* x;
  template <int N>
  __device__ void at(std::int64_t row, std::int64_t k, float (&v)[1][N]) const {
    cuda::load<N>(x + row * count + k, v[0]);
  }
};

/// The targets of a student row: up to `crops` rows of the teacher, of which one may be left out.
struct Targets {
  float const* first;
  std::int64_t stride, crops, left_out;
  __device__ float number() const {
    return static_cast<float>(crops - (left_out >= 0 && left_out < crops ? 1 : 0));
  }
  /// Their sum at k.
  template <int N>
  __device__ void load(std::int64_t k, float (&v)[N]) const {
#pragma unroll
    for (int i = 0; i < N; ++i) v[i] = 0;
    for (std::int64_t a = 0; a < crops; ++a) {
      if (a == left_out) continue;
      float p[N];
      cuda::load<N>(first + a * stride + k, p);
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] += p[i];
    }
  }
};

/// Loss (in thread 0) and gradient of one student row s. As on the host, the largest logit is
/// subtracted in both terms.
template <int N, class T>
__device__ double cross_entropy_row(float const* s, std::int64_t count, float sharpness,
                                    Targets const& targets, float factor, T* dlogits, int lane,
                                    int lanes) {
  auto const softmax =
      row_softmax<N>(count, sharpness, lane, lanes,
                     [&](std::int64_t k, float(&v)[N]) { cuda::load<N>(s + k, v); });
  float const softmax_factor = targets.number() / softmax.sum;
  double agreement = 0;
  for (std::int64_t k = std::int64_t{lane} * N; k < count; k += std::int64_t{lanes} * N) {
    float v[N], wanted[N];
    cuda::load<N>(s + k, v);
    targets.load<N>(k, wanted);
    float part = 0;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      float const z = (v[i] - softmax.largest) * sharpness;
      part += wanted[i] * z;
      v[i] = factor * (expf(z) * softmax_factor - wanted[i]);
    }
    agreement += static_cast<double>(part);
    cuda::store<N>(dlogits + k, v);
  }
  auto const number = static_cast<double>(targets.number());
  return number * log(static_cast<double>(softmax.sum)) - cuda::block_sum(agreement);
}

template <class T>
struct DinoRows {
  std::int64_t count, batch, crops;
  bool same_left_out;
  float const *student, *teacher;
  float sharpness, factor;
  T* dlogits;
  double* losses;  ///< of each row
  template <int N>
  __device__ void row(std::int64_t row, int lane, int lanes) const {
    auto const crop = row / batch, image = row % batch;
    Targets const targets{teacher + image * count, batch * count, crops, same_left_out ? crop : -1};
    double const loss = cross_entropy_row<N>(student + row * count, count, sharpness, targets,
                                             factor, dlogits + row * count, lane, lanes);
    if (lane == 0) losses[row] = loss;
  }
};

template <class T>
struct TokenLossRows {
  std::int64_t count;
  float const *student, *teacher, *row_weights;
  float sharpness;
  double factor;
  T* dlogits;
  double* losses;  ///< of each row
  template <int N>
  __device__ void row(std::int64_t row, int lane, int lanes) const {
    auto const weight = static_cast<double>(row_weights[row]);
    Targets const targets{teacher + row * count, 0, 1, -1};
    double const loss = cross_entropy_row<N>(student + row * count, count, sharpness, targets,
                                             static_cast<float>(factor * weight),
                                             dlogits + row * count, lane, lanes);
    if (lane == 0) losses[row] = weight * loss;
  }
};

/// The largest value of a row and its column; of equal ones the first.
struct Largest {
  float value;
  std::int64_t column;
};

struct JoinLargest {
  __device__ Largest operator()(Largest const& a, Largest const& b) const {
    bool const second = b.value > a.value || (b.value == a.value && b.column < a.column);
    return second ? b : a;
  }
};

struct StatisticsRows {
  std::int64_t count;
  float const* probabilities;
  float* usage;
  double* entropies;  ///< of each row
  template <int N>
  __device__ void row(std::int64_t row, int lane, int lanes) const {
    auto const* const p = probabilities + row * count;
    Largest largest{-INFINITY, count - 1};
    double sum = 0;
    for (std::int64_t k = std::int64_t{lane} * N; k < count; k += std::int64_t{lanes} * N) {
      float v[N];
      cuda::load<N>(p + k, v);
      float part = 0;
#pragma unroll
      for (int i = 0; i < N; ++i) {
        part += v[i] * logf(v[i] < FLT_MIN ? FLT_MIN : v[i]);
        if (v[i] > largest.value) largest = {v[i], k + i};
      }
      sum += static_cast<double>(part);
    }
    largest = cuda::block_combine(largest, JoinLargest{});
    sum = cuda::block_sum(sum);
    if (lane != 0) return;
    entropies[row] = sum;
    atomicAdd(usage + largest.column, 1.0F);  // whole numbers: in any order the same
  }
};

/// Partial results of each row.
double* row_partials(Cuda const& cuda, std::int64_t rows) {
  cuda::require_partials(rows * static_cast<std::int64_t>(sizeof(double)));
  return reinterpret_cast<double*>(cuda::partials_of(cuda));
}

}  // namespace

void execute(Cuda const& cuda, CenteredSoftmax const& op) {
  constexpr int n = cuda::pack_size<float>;
  auto const count = op.logits.extent(1);
  if (count == 0) return;
  cuda::for_block_rows<n>(
      cuda, op.logits.extent(0),
      cuda::aligned_rows<n>(count, op.logits.data(), op.center.data(), op.probabilities.data()),
      CenteredRows{count, op.logits.data(), op.center.data(), 1.0F / op.temperature,
                   op.probabilities.data()});
}

void execute(Cuda const& cuda, ColumnSums const& op) {
  constexpr int n = cuda::pack_size<float>;
  auto const count = op.x.extent(1);
  if (op.x.size() == 0) return;
  cuda::column_sums<1, n, float>(
      cuda, op.x.extent(0), count, cuda::aligned_rows<n>(count, op.x.data()),
      ValueColumns{count, op.x.data()}, cuda::AddToColumns<1>{{op.sums.data()}});
}

template <class T>
void execute(Cuda const& cuda, DinoCrossEntropy<T> const& op) {
  if (op.batch == 0 || op.student.size() == 0) return;
  constexpr int n = cuda::pack_size<float>;
  auto const rows = op.student.extent(0), count = op.student.extent(1);
  auto* const losses = row_partials(cuda, rows);
  auto const factor =
      static_cast<float>(op.gradient_factor * op.weight / static_cast<double>(op.temperature));
  cuda::for_block_rows<n>(
      cuda, rows,
      cuda::aligned_rows<n>(count, op.student.data(), op.teacher.data(), op.dlogits.data()),
      DinoRows<T>{count, op.batch, op.teacher_crops, op.pairing == CropPairing::different,
                  op.student.data(), op.teacher.data(), 1.0F / op.temperature, factor,
                  op.dlogits.data(), losses});
  cuda::add_sum(cuda, losses, rows, op.weight, op.loss.data());
}

template <class T>
void execute(Cuda const& cuda, TokenCrossEntropy<T> const& op) {
  if (op.student.size() == 0) return;
  constexpr int n = cuda::pack_size<float>;
  auto const rows = op.student.extent(0), count = op.student.extent(1);
  auto* const losses = row_partials(cuda, rows);
  cuda::for_block_rows<n>(
      cuda, rows,
      cuda::aligned_rows<n>(count, op.student.data(), op.teacher.data(), op.dlogits.data()),
      TokenLossRows<T>{count, op.student.data(), op.teacher.data(), op.row_weights.data(),
                       1.0F / op.temperature,
                       op.gradient_factor * op.weight / static_cast<double>(op.temperature),
                       op.dlogits.data(), losses});
  cuda::add_sum(cuda, losses, rows, op.weight, op.loss.data());
}

void execute(Cuda const& cuda, ProbabilityStatistics const& op) {
  constexpr int n = cuda::pack_size<float>;
  auto const rows = op.probabilities.extent(0), count = op.probabilities.extent(1);
  if (rows == 0 || count == 0) return;
  auto* const entropies = row_partials(cuda, rows);
  cuda::for_block_rows<n>(
      cuda, rows, cuda::aligned_rows<n>(count, op.probabilities.data()),
      StatisticsRows{count, op.probabilities.data(), op.usage.data(), entropies});
  cuda::add_sum(cuda, entropies, rows, -1, op.entropy.data());
}

template void execute(Cuda const&, DinoCrossEntropy<float> const&);
template void execute(Cuda const&, DinoCrossEntropy<bfloat16> const&);
template void execute(Cuda const&, TokenCrossEntropy<float> const&);
template void execute(Cuda const&, TokenCrossEntropy<bfloat16> const&);

}  // namespace dino
