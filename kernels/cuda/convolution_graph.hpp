// SPDX-License-Identifier: Apache-2.0
// cuDNN's convolutions: bfloat16, channels last.
#pragma once
#include <compare>
#include <cstdint>

#include "kernels/convolution.hpp"
#include "kernels/cuda/cudnn_graph.hpp"

namespace dino::cuda {

enum class ConvolutionPass { forward, input_gradient };

struct ConvolutionShape {
  Windows windows;
  std::int64_t in = 0, out = 0;  ///< channels
  ConvolutionPass pass = ConvolutionPass::forward;
  auto operator<=>(ConvolutionShape const&) const = default;
};

/// Operands of the graphs: x (or its gradient) [rows_in, in], filters [out, k k in], and y (or its
/// gradient) [rows_out, out].
enum class ConvolutionOperand : std::int64_t { x = 1, filters, y };

/// The graph of a pass. \param handle  null: without a device
Graph convolution_graph(ConvolutionShape const& shape, cudnnHandle_t handle);

using ConvolutionPlans = GraphPlans<ConvolutionShape>;

}  // namespace dino::cuda
