// SPDX-License-Identifier: Apache-2.0
// cuDNN's fused attention: bfloat16, one segment at a time. Source: Dao et al. 2022,
// arXiv:2205.14135.
#pragma once
#include <compare>
#include <cstdint>

#include "kernels/cuda/cudnn_graph.hpp"

namespace dino::cuda {

/// What is computed of attention over the images of a segment.
enum class FlashPass {
  forward,
  backward,              ///< gradients of q are summed within the engine
  backward_accumulated,  ///< they are added up in float32 memory, in any order
};

struct FlashShape {
  std::int64_t images = 0, heads = 0, tokens = 0, head_dim = 0;
  FlashPass pass = FlashPass::forward;
  auto operator<=>(FlashShape const&) const = default;
};

/// Whether cuDNN takes heads of this size.
constexpr bool flash_takes(std::int64_t head_dim) {
  return head_dim % 8 == 0 && head_dim >= 8 && head_dim <= 128;
}

/// Operands of the graphs. q, k, v and their gradients lie in [rows, 3 D], o and do in [rows, D],
/// statistics and row sums [images, heads, tokens] without gaps, float32.
enum class FlashOperand : std::int64_t {
  q = 1,
  k,
  v,
  o,
  statistics,
  scale,
  one,
  dq,
  dk,
  dv,
  dout,
  row_sums,        ///< of o · do, scratch
  dq_accumulator,  ///< [images, heads, tokens, head_dim] float32, zero
};

/// The graph of a pass. \param handle  null: without a device
Graph flash_graph(FlashShape const& shape, cudnnHandle_t handle);

using FlashPlans = GraphPlans<FlashShape>;

}  // namespace dino::cuda
