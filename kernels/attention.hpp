// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/tokens.hpp"

namespace dino {

/// Multi-head self-attention within each image: softmax(q kᵀ / sqrt(head dim)) v, heads
/// concatenated. Tiled: no T x T matrix for the whole batch; backward recomputes probabilities from
/// `lse`. Source: Dao et al. 2022, arXiv:2205.14135; method.md 1.2.
template <class T>
struct AttentionForward {
  View<T const, 2> qkv;  ///< [rows, 3 D]: q, k, v blocks, head-major inside each
  TokenLayout const* layout = nullptr;
  std::int64_t heads = 1;
  View<T, 2> out;  ///< [rows, D]
  View<float, 2>
      lse;  ///< [rows, heads], log of the sum of exponentials of scaled scores; empty: not kept
  std::byte* scratch = nullptr;  ///< attention_scratch_bytes(...) bytes of the space
  void check() const;
  double matrix_flops() const;
};

/// dqkv from dout; scores are recomputed tile by tile.
template <class T>
struct AttentionBackward {
  View<T const, 2> qkv;        ///< [rows, 3 D]
  View<T const, 2> out, dout;  ///< [rows, D]
  View<float const, 2> lse;    ///< [rows, heads]
  TokenLayout const* layout = nullptr;
  std::int64_t heads = 1;
  View<T, 2> dqkv;               ///< [rows, 3 D], overwritten
  std::byte* scratch = nullptr;  ///< attention_scratch_bytes(...) bytes of the space
  void check() const;
  double matrix_flops() const;  ///< five products: scores, dv, dp, dq, dk
};

/// The softmax matrices themselves, for looking at: one segment, small batches.
template <class T>
struct AttentionProbabilities {
  View<T const, 2> qkv;  ///< [rows, 3 D], one segment
  TokenLayout const* layout = nullptr;
  std::int64_t heads = 1;
  View<float, 4> probabilities;  ///< [images, heads, tokens, tokens]
  void check() const;
};

/// Scratch that attention over this layout needs, forward or backward, in bytes.
template <class T>
std::int64_t attention_scratch_bytes(Processor processor, TokenLayout const& layout,
                                     std::int64_t heads, std::int64_t head_dim);

/// Bytes of the scratch that so many floats take.
constexpr std::int64_t attention_scratch_part(std::int64_t floats) {
  return (floats * static_cast<std::int64_t>(sizeof(float)) + 63) / 64 * 64;
}

template <class T>
void execute(Host const& host, AttentionForward<T> const& op);
template <class T>
void execute(Cuda const& cuda, AttentionForward<T> const& op);
template <class T>
void execute(Host const& host, AttentionBackward<T> const& op);
template <class T>
void execute(Cuda const& cuda, AttentionBackward<T> const& op);
template <class T>
void execute(Host const& host, AttentionProbabilities<T> const& op);
template <class T>
void execute(Cuda const& cuda, AttentionProbabilities<T> const& op);

}  // namespace dino
