// SPDX-License-Identifier: Apache-2.0
// Convolutions of bfloat16 are cuDNN's where it has them. Those of float32, which cuDNN would round
// to fewer bits, and gradients of filters, which it has no float32 sums of bfloat16 for, are
// products of gathered windows.
#include "kernels/convolution.hpp"

#include <array>
#include <type_traits>

#include "base/log.hpp"
#include "kernels/cuda/context.hpp"
#include "kernels/cuda/convolution_gathered.hpp"
#include "kernels/gemm.hpp"

namespace dino {
namespace {

using cuda::ConvolutionOperand;
using cuda::ConvolutionPass;
using cuda::ConvolutionPlans;
using cuda::ConvolutionShape;
using cuda::GraphPlan;

constexpr cuda::EngineDemands demands{.exact = true, .workspace_bytes = most_workspace_bytes};

ConvolutionPlans::Plan const& find_plan(cuda::Context& context, ConvolutionShape const& shape) {
  return context.convolution_plans().find(shape, [&](ConvolutionShape const& s) {
    auto plan = GraphPlan::make(context.cudnn(), convolution_graph(s, context.cudnn()), demands);
    if (!plan) {
      auto const& w = s.windows;
      log::warning(
          "cuDNN has no {} convolution of {} to {} channels with windows of {} x {} for {} images "
          "of {} x {}: the program's own is used, which is slower",
          s.pass == ConvolutionPass::forward ? "forward" : "backward", s.in, s.out, w.kernel,
          w.kernel, w.images, w.height, w.width);
    }
    return plan;
  });
}

/// Operands of cuDNN's graphs begin at multiples of 16 bytes.
bool are_aligned(std::span<GraphPlan::Operand const> operands) {
  return std::ranges::all_of(operands, [](GraphPlan::Operand const& operand) {
    return reinterpret_cast<std::uintptr_t>(operand.data) % 16 == 0;
  });
}

/// Computes the convolution, or returns false where cuDNN has no form of it.
bool convolve(Cuda const& cuda, ConvolutionShape const& shape, void const* x, void const* filters,
              void const* y) {
  auto& context = *cuda.context;
  auto const operand = [](ConvolutionOperand which, void const* data) {
    return GraphPlan::Operand{static_cast<std::int64_t>(which), data};
  };
  std::array const operands{operand(ConvolutionOperand::x, x),
                            operand(ConvolutionOperand::filters, filters),
                            operand(ConvolutionOperand::y, y)};
  if (!are_aligned(operands)) return false;
  auto const& plan = find_plan(context, shape);
  if (!plan) return false;
  plan->run(context.cudnn(), operands, context.cudnn_workspace(plan->workspace_bytes()));
  ++context.launches().products;
  return true;
}

}  // namespace

template <class T>
void execute(Cuda const& cuda, ConvolutionForward<T> const& op) {
  if (op.windows.rows_in() == 0) return;
  if (op.windows.pointwise()) {
    return execute(cuda, LinearForward<T>{.x = op.x, .weight = op.filters, .bias = {}, .y = op.y});
  }
  if constexpr (std::is_same_v<T, bfloat16>) {
    ConvolutionShape const shape{op.windows, op.x.extent(1), op.y.extent(1),
                                 ConvolutionPass::forward};
    if (convolve(cuda, shape, op.x.data(), op.filters.data(), op.y.data())) return;
  }
  cuda::convolution_gathered(cuda, op);
}

template <class T>
void execute(Cuda const& cuda, ConvolutionBackwardInput<T> const& op) {
  if (op.windows.rows_in() == 0) return;
  if (op.windows.pointwise()) {
    return execute(cuda, LinearBackwardInput<T>{.dy = op.dy, .weight = op.filters, .dx = op.dx});
  }
  if constexpr (std::is_same_v<T, bfloat16>) {
    ConvolutionShape const shape{op.windows, op.dx.extent(1), op.dy.extent(1),
                                 ConvolutionPass::input_gradient};
    if (convolve(cuda, shape, op.dx.data(), op.filters.data(), op.dy.data())) return;
  }
  cuda::convolution_gathered(cuda, op);
}

template <class T>
void execute(Cuda const& cuda, ConvolutionBackwardFilters<T> const& op) {
  if (op.windows.pointwise()) {
    return execute(
        cuda, LinearBackwardWeight<T>{.x = op.x, .dy = op.dy, .dweight = op.dfilters, .dbias = {}});
  }
  cuda::convolution_gathered(cuda, op);
}

template void execute(Cuda const&, ConvolutionForward<float> const&);
template void execute(Cuda const&, ConvolutionForward<bfloat16> const&);
template void execute(Cuda const&, ConvolutionBackwardInput<float> const&);
template void execute(Cuda const&, ConvolutionBackwardInput<bfloat16> const&);
template void execute(Cuda const&, ConvolutionBackwardFilters<float> const&);
template void execute(Cuda const&, ConvolutionBackwardFilters<bfloat16> const&);

}  // namespace dino
