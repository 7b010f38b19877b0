// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.hpp"

#include <cmath>
#include <limits>

#include "kernels/host/attention_scratch.hpp"
#include "kernels/host/parallel.hpp"
#include "kernels/host/row_math.hpp"
#include "kernels/host/store.hpp"
#include "kernels/host/tile_product.hpp"
#include "kernels/host/vector_math.hpp"

namespace dino {

namespace {

using host::padded;

constexpr std::int64_t query_tile = 48;  // a multiple of the six rows of host::tile_product

/// One head of one image: where its rows begin in the packed matrices, and their sizes.
struct Head {
  std::int64_t first_row, head, tokens, dim, width;  ///< width: D, columns of `out`
  float scale() const { return 1.0F / std::sqrt(static_cast<float>(dim)); }
  /// Column block 0 (q), 1 (k) or 2 (v) of a [rows, 3 D] matrix.
  template <class T>
  T* of_qkv(View<T, 2> const& qkv, int which) const {
    return qkv.row(first_row) + which * width + head * dim;
  }
  template <class T>
  T* of_out(View<T, 2> const& out) const {
    return out.row(first_row) + head * dim;
  }
};

/// Hands out parts of one worker's scratch.
struct Scratch {
  float* next;
  float* take(std::int64_t count) {
    auto* const begin = next;
    next += (count + 15) / 16 * 16;
    return begin;
  }
};

/// Floats that one worker needs, backward (which needs more than forward); see AttentionBackward
/// below.
std::int64_t scratch_floats(std::int64_t tokens, std::int64_t dim) {
  auto const tp = padded(tokens), dp = padded(dim);
  std::int64_t total = 0;
  auto const add = [&](std::int64_t count) { total += (count + 15) / 16 * 16; };
  for (int i = 0; i < 2; ++i) add(dim * tp);          // kᵀ, vᵀ
  for (int i = 0; i < 3; ++i) add(tokens * dp);       // k, dk, dv
  for (int i = 0; i < 2; ++i) add(query_tile * tp);   // p, ds
  for (int i = 0; i < 2; ++i) add(query_tile * dim);  // q, dout
  for (int i = 0; i < 3; ++i) add(query_tile * dp);   // q and dout packed, dq
  return total;
}

/// f(head, scratch) for every head of every image; heads are dealt to as many workers as threads.
template <class F>
void for_heads(TokenLayout const& layout, std::int64_t heads, std::int64_t width,
               std::byte* scratch, F const& f) {
  auto const workers = host::concurrency();
  auto const dim = width / heads;
  std::int64_t floats = 0;
  for (auto const& segment : layout.segments())
    floats = std::max(floats, scratch_floats(segment.tokens(), dim));
  for (auto const& segment : layout.segments()) {
    host::parallel_rows(workers, [=](std::int64_t worker) {
      for (auto item = worker; item < segment.images * heads; item += workers) {
        auto const image = item / heads;
        f(Head{segment.first_row + image * segment.tokens(), item % heads, segment.tokens(), dim,
               width},
          Scratch{reinterpret_cast<float*>(scratch) + worker * floats});
      }
    });
  }
}

/// to [rows, dim] = factor * from, whose rows are `stride` apart.
template <class From, class To>
void copy_rows(From const* from, std::int64_t stride, std::int64_t rows, std::int64_t dim,
               float factor, To* to, std::int64_t to_stride) {
  for (std::int64_t i = 0; i < rows; ++i) {
#pragma omp simd
    for (std::int64_t d = 0; d < dim; ++d) {
      host::store(to[i * to_stride + d], factor * static_cast<float>(from[i * stride + d]));
    }
  }
}

struct RowSoftmax {
  float largest, sum;
};

/// scores become e^(score - largest), with the scores from n up to `end` as -infinity.
RowSoftmax exponentiate(float* scores, std::int64_t n, std::int64_t end) {
  for (auto j = n; j < end; ++j) scores[j] = std::numeric_limits<float>::lowest();
  float const largest = host::row_max(end, [=](std::int64_t j) { return scores[j]; });
  float const sum = host::row_sum(end, [=](std::int64_t j) {
    float const e = host::exp_simd(scores[j] - largest);
    scores[j] = e;
    return e;
  });
  return {largest, sum};
}

template <class T>
void forward_head(AttentionForward<T> const& op, Head const& head, Scratch scratch) {
  auto const n = head.tokens, dim = head.dim, tp = padded(n), dp = padded(dim),
             stride = 3 * head.width;
  auto* const keys = scratch.take(dim * tp);
  auto* const values = scratch.take(n * dp);
  auto* const queries = scratch.take(query_tile * dim);
  auto* const scores = scratch.take(query_tile * tp);
  auto* const result = scratch.take(query_tile * dp);
  host::pack_transposed(head.of_qkv(op.qkv, 1), stride, dim, n, keys);
  host::pack(head.of_qkv(op.qkv, 2), stride, n, dim, values);

  for (std::int64_t first = 0; first < n; first += query_tile) {
    auto const rows = std::min(query_tile, n - first);
    copy_rows(head.of_qkv(op.qkv, 0) + first * stride, stride, rows, dim, head.scale(), queries,
              dim);
    host::tile_product(rows, n, dim, {queries, dim, 1}, keys, scores, tp, false);
    RowSoftmax softmax[query_tile];
    for (std::int64_t i = 0; i < rows; ++i) softmax[i] = exponentiate(scores + i * tp, n, tp);
    host::tile_product(rows, dim, n, {scores, tp, 1}, values, result, dp, false);
    for (std::int64_t i = 0; i < rows; ++i) {
      copy_rows(result + i * dp, dp, 1, dim, 1.0F / softmax[i].sum,
                head.of_out(op.out) + (first + i) * head.width, head.width);
      if (op.lse.size() > 0) {
        op.lse.row(head.first_row + first + i)[head.head] =
            softmax[i].largest + std::log(softmax[i].sum);
      }
    }
  }
}

/// p [i, j] = e^(s - lse_i) and ds = p (dp - delta_i) with delta_i = dout_i · out_i, for a tile of
/// queries.
template <class T>
void probabilities_and_gradient(AttentionBackward<T> const& op, Head const& head,
                                std::int64_t first, std::int64_t rows, float* p, float* ds) {
  auto const n = head.tokens, tp = padded(n);
  for (std::int64_t i = 0; i < rows; ++i) {
    auto const* const out = head.of_out(op.out) + (first + i) * head.width;
    auto const* const dout = head.of_out(op.dout) + (first + i) * head.width;
    float const delta = host::row_sum(head.dim, [=](std::int64_t d) {
      return static_cast<float>(out[d]) * static_cast<float>(dout[d]);
    });
    float const lse = op.lse.row(head.first_row + first + i)[head.head];
    auto* const p_row = p + i * tp;
    auto* const ds_row = ds + i * tp;
#pragma omp simd
    for (std::int64_t j = 0; j < tp; ++j) {  // beyond n: never read
      float const probability = host::exp_simd(p_row[j] - lse);
      p_row[j] = probability;
      ds_row[j] = probability * (ds_row[j] - delta);
    }
  }
}

template <class T>
void backward_head(AttentionBackward<T> const& op, Head const& head, Scratch scratch) {
  auto const n = head.tokens, dim = head.dim, tp = padded(n), dp = padded(dim),
             stride = 3 * head.width;
  auto* const keys_t = scratch.take(dim * tp);
  auto* const values_t = scratch.take(dim * tp);
  auto* const keys = scratch.take(n * dp);
  auto* const dk = scratch.take(n * dp);
  auto* const dv = scratch.take(n * dp);
  auto* const p = scratch.take(query_tile * tp);
  auto* const ds = scratch.take(query_tile * tp);
  auto* const q = scratch.take(query_tile * dim);
  auto* const dout = scratch.take(query_tile * dim);
  auto* const q_packed = scratch.take(query_tile * dp);
  auto* const dout_packed = scratch.take(query_tile * dp);
  auto* const dq = scratch.take(query_tile * dp);
  host::pack_transposed(head.of_qkv(op.qkv, 1), stride, dim, n, keys_t);
  host::pack_transposed(head.of_qkv(op.qkv, 2), stride, dim, n, values_t);
  host::pack(head.of_qkv(op.qkv, 1), stride, n, dim, keys);

  for (std::int64_t first = 0; first < n; first += query_tile) {
    auto const rows = std::min(query_tile, n - first);
    bool const accumulate = first > 0;
    copy_rows(head.of_qkv(op.qkv, 0) + first * stride, stride, rows, dim, head.scale(), q, dim);
    copy_rows(head.of_out(op.dout) + first * head.width, head.width, rows, dim, 1.0F, dout, dim);
    host::pack(q, dim, rows, dim, q_packed);
    host::pack(dout, dim, rows, dim, dout_packed);
    host::tile_product(rows, n, dim, {q, dim, 1}, keys_t, p, tp, false);
    host::tile_product(rows, n, dim, {dout, dim, 1}, values_t, ds, tp, false);
    probabilities_and_gradient(op, head, first, rows, p, ds);
    host::tile_product(rows, dim, n, {ds, tp, 1}, keys, dq, dp, false);
    host::tile_product(n, dim, rows, {p, 1, tp}, dout_packed, dv, dp, accumulate);
    host::tile_product(n, dim, rows, {ds, 1, tp}, q_packed, dk, dp, accumulate);
    copy_rows(dq, dp, rows, dim, head.scale(), head.of_qkv(op.dqkv, 0) + first * stride, stride);
  }
  copy_rows(dk, dp, n, dim, 1.0F, head.of_qkv(op.dqkv, 1), stride);
  copy_rows(dv, dp, n, dim, 1.0F, head.of_qkv(op.dqkv, 2), stride);
}

}  // namespace

std::int64_t host::attention_scratch_bytes(TokenLayout const& layout, std::int64_t head_dim) {
  std::int64_t floats = 0;
  for (auto const& segment : layout.segments())
    floats = std::max(floats, scratch_floats(segment.tokens(), head_dim));
  return host::concurrency() * floats * static_cast<std::int64_t>(sizeof(float));
}

template <class T>
void execute(Host const&, AttentionForward<T> const& op) {
  for_heads(*op.layout, op.heads, op.out.extent(1), op.scratch,
            [=](Head const& head, Scratch scratch) { forward_head(op, head, scratch); });
}

template <class T>
void execute(Host const&, AttentionBackward<T> const& op) {
  for_heads(*op.layout, op.heads, op.out.extent(1), op.scratch,
            [=](Head const& head, Scratch scratch) { backward_head(op, head, scratch); });
}

template <class T>
void execute(Host const&, AttentionProbabilities<T> const& op) {
  auto const& segment = op.layout->segments().front();
  auto const tokens = segment.tokens(), width = op.qkv.extent(1) / 3, heads = op.heads;
  auto const first = segment.first_row;
  host::parallel_rows(segment.images * heads * tokens, [=](std::int64_t i) {
    auto const image = i / (heads * tokens), h = i / tokens % heads;
    Head const head{first + image * tokens, h, tokens, width / heads, width};
    auto const* const q = head.of_qkv(op.qkv, 0) + i % tokens * 3 * width;
    auto* const out = op.probabilities.data() + i * tokens;
    for (std::int64_t j = 0; j < tokens; ++j) {
      auto const* const k = head.of_qkv(op.qkv, 1) + j * 3 * width;
      out[j] = head.scale() * host::row_sum(head.dim, [=](std::int64_t d) {
                 return static_cast<float>(q[d]) * static_cast<float>(k[d]);
               });
    }
    float const factor = 1.0F / exponentiate(out, tokens, tokens).sum;
    for (std::int64_t j = 0; j < tokens; ++j) out[j] *= factor;
  });
}

template void execute(Host const&, AttentionForward<float> const&);
template void execute(Host const&, AttentionForward<bfloat16> const&);
template void execute(Host const&, AttentionBackward<float> const&);
template void execute(Host const&, AttentionBackward<bfloat16> const&);
template void execute(Host const&, AttentionProbabilities<float> const&);
template void execute(Host const&, AttentionProbabilities<bfloat16> const&);

}  // namespace dino
