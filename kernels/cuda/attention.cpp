// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.hpp"

#include <array>
#include <cmath>
#include <type_traits>

#include "base/error.hpp"
#include "base/log.hpp"
#include "kernels/cuda/attention_tiled.hpp"
#include "kernels/cuda/context.hpp"

namespace dino {
namespace {

using cuda::FlashOperand;
using cuda::FlashPass;
using cuda::FlashPlans;
using cuda::FlashShape;
using cuda::GraphPlan;

void require_head_dim(std::int64_t head_dim) {
  require(head_dim <= cuda::tiled_head_dim, ExitCode::usage,
          "attention on a device takes heads of up to {} channels, not {}. Use more heads, or "
          "run.device=host",
          cuda::tiled_head_dim, head_dim);
}

FlashPlans::Plan const& find_plan(cuda::Context& context, FlashShape const& shape) {
  return context.flash_plans().find(shape, [&](FlashShape const& s) {
    auto plan = GraphPlan::make(context.cudnn(), cuda::flash_graph(s, context.cudnn()));
    if (!plan && s.pass != FlashPass::backward)  // which has another form
      log::warning(
          "cuDNN has no {} attention for {} images, {} heads of {} and {} tokens: the program's "
          "own "
          "is used, which is slower",
          s.pass == FlashPass::forward ? "forward" : "backward", s.images, s.heads, s.head_dim,
          s.tokens);
    return plan;
  });
}

/// cuDNN before 9.16 gives wrong gradients where the tokens are no multiple of 128. A library that
/// is loaded may be older than the headers.
constexpr std::size_t least_cudnn = 91600;

bool cudnn_is_right() {
  static bool const right = [] {
    auto const version = cudnnGetVersion();
    if (version < least_cudnn) {
      log::warning(
          "cuDNN {} is loaded, attention needs {} or newer: an own kernel is used, which is slower",
          version, least_cudnn);
    }
    return version >= least_cudnn;
  }();
  return right;
}

/// The workspace of the pass which writes dq directly grows with the square of the tokens.
bool is_usable(GraphPlan const& plan, FlashPass pass) {
  return pass != FlashPass::backward || plan.workspace_bytes() <= most_workspace_bytes;
}

/// How the images of one segment are computed.
struct SegmentPlan {
  Segment const* segment;
  FlashPass pass;
  GraphPlan const* plan;
};

/// Plans of all segments, in the first of the passes that cuDNN has for them; none: it has not.
std::optional<std::vector<SegmentPlan>> find_plans(cuda::Context& context,
                                                   TokenLayout const& layout, std::int64_t heads,
                                                   std::int64_t head_dim,
                                                   std::span<FlashPass const> passes) {
  std::vector<SegmentPlan> plans;
  if (!cuda::flash_takes(head_dim) || !cudnn_is_right()) return std::nullopt;
  for (auto const& segment : layout.segments()) {
    if (segment.images == 0) continue;
    SegmentPlan found{&segment, FlashPass::forward, nullptr};
    for (auto const pass : passes) {
      if (found.plan != nullptr) break;
      auto const& plan =
          find_plan(context, {segment.images, heads, segment.tokens(), head_dim, pass});
      if (plan && is_usable(*plan, pass)) found = {&segment, pass, &*plan};
    }
    if (found.plan == nullptr) return std::nullopt;
    plans.push_back(found);
  }
  return plans;
}

void run_plan(cuda::Context& context, GraphPlan const& plan,
              std::span<GraphPlan::Operand const> operands) {
  plan.run(context.cudnn(), operands, context.cudnn_workspace(plan.workspace_bytes()));
  ++context.launches().products;
}

GraphPlan::Operand operand(FlashOperand which, void const* data) {
  return {static_cast<std::int64_t>(which), data};
}

/// The rows of a segment in the packed matrices: q, k and v lie side by side.
template <class T>
std::array<T*, 3> columns_of(View<T, 2> const& qkv, Segment const& segment) {
  auto* const q = qkv.row(segment.first_row);
  auto const width = qkv.extent(1) / 3;
  return {q, q + width, q + 2 * width};
}

// Segments follow each other on the stream and use the same scratch: statistics, row sums, and the
// accumulator of dq, each in a part of its own.

bool flash(Cuda const& cuda, AttentionForward<bfloat16> const& op) {
  auto& context = *cuda.context;
  auto const dim = op.out.extent(1) / op.heads;
  std::array const passes{FlashPass::forward};
  auto const plans = find_plans(context, *op.layout, op.heads, dim, passes);
  if (!plans) return false;
  float const scale = 1.0F / std::sqrt(static_cast<float>(dim));
  auto* const statistics = reinterpret_cast<float*>(op.scratch);
  for (auto const& [segment, pass, plan] : *plans) {
    auto const [q, k, v] = columns_of(op.qkv, *segment);
    run_plan(context, *plan,
             std::array{operand(FlashOperand::q, q), operand(FlashOperand::k, k),
                        operand(FlashOperand::v, v),
                        operand(FlashOperand::o, op.out.row(segment->first_row)),
                        operand(FlashOperand::statistics, statistics),
                        operand(FlashOperand::scale, &scale)});
    if (op.lse.size() == 0) continue;
    cuda::statistics_to_lse(cuda, {segment->images, op.heads, segment->tokens()}, statistics,
                            op.lse.row(segment->first_row));
  }
  return true;
}

bool flash(Cuda const& cuda, AttentionBackward<bfloat16> const& op) {
  auto& context = *cuda.context;
  auto const dim = op.out.extent(1) / op.heads;
  std::array const passes{FlashPass::backward, FlashPass::backward_accumulated};
  auto const plans = find_plans(context, *op.layout, op.heads, dim, passes);
  if (!plans) return false;
  float const scale = 1.0F / std::sqrt(static_cast<float>(dim)), one = 1;
  auto const part = attention_scratch_part(op.layout->rows() * op.heads);
  auto* const statistics = reinterpret_cast<float*>(op.scratch);
  auto* const row_sums = op.scratch + part;
  auto* const accumulator = op.scratch + 2 * part;
  for (auto const& [segment, pass, plan] : *plans) {
    auto const first = segment->first_row;
    auto const [q, k, v] = columns_of(op.qkv, *segment);
    auto const [dq, dk, dv] = columns_of(op.dqkv, *segment);
    cuda::lse_to_statistics(cuda, {segment->images, op.heads, segment->tokens()}, op.lse.row(first),
                            statistics);
    std::vector<GraphPlan::Operand> operands{operand(FlashOperand::q, q),
                                             operand(FlashOperand::k, k),
                                             operand(FlashOperand::v, v),
                                             operand(FlashOperand::o, op.out.row(first)),
                                             operand(FlashOperand::statistics, statistics),
                                             operand(FlashOperand::scale, &scale),
                                             operand(FlashOperand::one, &one),
                                             operand(FlashOperand::dq, dq),
                                             operand(FlashOperand::dk, dk),
                                             operand(FlashOperand::dv, dv),
                                             operand(FlashOperand::dout, op.dout.row(first)),
                                             operand(FlashOperand::row_sums, row_sums)};
    if (pass == FlashPass::backward_accumulated) {
      auto const bytes =
          segment->rows() * op.heads * dim * static_cast<std::int64_t>(sizeof(float));
      cuda::cuda_check(
          cudaMemsetAsync(accumulator, 0, static_cast<std::size_t>(bytes), context.stream()));
      operands.push_back(operand(FlashOperand::dq_accumulator, accumulator));
    }
    run_plan(context, *plan, operands);
  }
  return true;
}

/// Packed rows of head dimensions that cuDNN takes are aligned where the matrices are.
bool aligned(std::initializer_list<void const*> matrices) {
  constexpr std::uint32_t needed = 16;
  for (auto const* const matrix : matrices)
    if (cuda::alignment_of(matrix) < needed) return false;
  return true;
}

}  // namespace

template <class T>
void execute(Cuda const& cuda, AttentionForward<T> const& op) {
  if (op.out.size() == 0) return;
  require_head_dim(op.out.extent(1) / op.heads);
  if constexpr (std::is_same_v<T, bfloat16>) {
    if (aligned({op.qkv.data(), op.out.data(), op.scratch}) && flash(cuda, op)) return;
  }
  cuda::attention_tiled(cuda, op);
}

template <class T>
void execute(Cuda const& cuda, AttentionBackward<T> const& op) {
  if (op.out.size() == 0) return;
  require_head_dim(op.out.extent(1) / op.heads);
  if constexpr (std::is_same_v<T, bfloat16>) {
    if (aligned({op.qkv.data(), op.out.data(), op.dout.data(), op.dqkv.data(), op.scratch}) &&
        flash(cuda, op))
      return;
  }
  cuda::attention_tiled(cuda, op);
}

template void execute(Cuda const&, AttentionForward<float> const&);
template void execute(Cuda const&, AttentionForward<bfloat16> const&);
template void execute(Cuda const&, AttentionBackward<float> const&);
template void execute(Cuda const&, AttentionBackward<bfloat16> const&);

}  // namespace dino
