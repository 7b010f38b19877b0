// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/attention.hpp"

namespace dino::cuda {

/// Attention by this program's own kernels, sums in float32: for operands that cuDNN does not take
/// (float32, head dimensions that are no multiple of 8), and to compare with. Head dimensions up to
/// `tiled_head_dim`.
constexpr std::int64_t tiled_head_dim = 128;
template <class T>
void attention_tiled(Cuda const& cuda, AttentionForward<T> const& op);
/// The scratch of `op` holds [rows, heads] floats.
template <class T>
void attention_tiled(Cuda const& cuda, AttentionBackward<T> const& op);

/// Between cuDNN's order of statistics [images, heads, tokens] and that of `lse`, [images * tokens,
/// heads].
struct StatisticsShape {
  std::int64_t images, heads, tokens;
};
void statistics_to_lse(Cuda const& cuda, StatisticsShape const& shape, float const* statistics,
                       float* lse);
void lse_to_statistics(Cuda const& cuda, StatisticsShape const& shape, float const* lse,
                       float* statistics);

}  // namespace dino::cuda
