// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/convolution_graph.hpp"

namespace dino::cuda {
namespace {

/// Extents as cuDNN counts them (channels second), in memory channels last.
GraphTensor channels_last(ConvolutionOperand which, std::int64_t count, std::int64_t channels,
                          std::int64_t height, std::int64_t width) {
  return {.extents = {count, channels, height, width},
          .strides = {height * width * channels, 1, width * channels, channels},
          .type = CUDNN_DATA_BFLOAT16,
          .number = static_cast<std::int64_t>(which)};
}

}  // namespace

Graph convolution_graph(ConvolutionShape const& s, cudnnHandle_t handle) {
  auto const& w = s.windows;
  Graph graph;
  auto const x =
      graph.tensor(channels_last(ConvolutionOperand::x, w.images, s.in, w.height, w.width));
  auto const filters =
      graph.tensor(channels_last(ConvolutionOperand::filters, s.out, s.in, w.kernel, w.kernel));
  auto const y = graph.tensor(
      channels_last(ConvolutionOperand::y, w.images, s.out, w.out_height(), w.out_width()));
  Graph::Convolution const convolution{.stride = w.stride, .padding = w.padding};
  if (s.pass == ConvolutionPass::forward) {
    graph.convolution(convolution, x, filters, y);
  } else {
    graph.convolution_input(convolution, y, filters, x);
  }
  graph.finish(handle);
  return graph;
}

}  // namespace dino::cuda
