// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "kernels/space.hpp"

namespace dino {

/// Rates of the three products of a linear layer, best of the repetitions.
struct GemmFigure {
  double forward = 0;          ///< LinearForward, GFLOP/s
  double backward_input = 0;   ///< LinearBackwardInput, GFLOP/s
  double backward_weight = 0;  ///< LinearBackwardWeight with bias, GFLOP/s
};

/// Times a layer in -> out with bias over `rows` rows.
/// \param seconds  for all three together, > 0; each product runs at least twice
GemmFigure measure_gemm(Space const& space, Precision precision, std::int64_t rows, std::int64_t in,
                        std::int64_t out, double seconds);

/// Durations of attention, best of the repetitions.
struct AttentionFigure {
  double forward = 0;   ///< AttentionForward, seconds
  double backward = 0;  ///< AttentionBackward, seconds
};

/// Times attention of `images` images with `grid` x `grid` patches and a class token each.
/// \param seconds  for both together, > 0; each runs at least twice
AttentionFigure measure_attention(Space const& space, Precision precision, std::int64_t images,
                                  std::int64_t grid, std::int64_t heads, std::int64_t head_dim,
                                  double seconds);

}  // namespace dino
