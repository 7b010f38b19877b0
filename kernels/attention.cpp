// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.hpp"

#include "base/error.hpp"
#include "kernels/check.hpp"
#include "kernels/host/attention_scratch.hpp"

namespace dino {

namespace {

void require_shape(char const* operation, TokenLayout const* layout, std::int64_t heads,
                   std::int64_t qkv_width) {
  require(layout != nullptr, ExitCode::bug, "{}: layout is missing", operation);
  require(heads >= 1 && qkv_width > 0 && qkv_width % (3 * heads) == 0, ExitCode::bug,
          "{}: qkv has {} columns, which is not 3 times a multiple of {} heads", operation,
          qkv_width, heads);
}

void require_scratch(char const* operation, std::byte const* scratch, std::int64_t rows) {
  require(scratch != nullptr || rows == 0, ExitCode::bug, "{}: scratch has no memory", operation);
}

/// 2 T² D summed over images: the operations of one product of every head.
double product_flops(TokenLayout const& layout, std::int64_t width) {
  double flops = 0;
  for (auto const& segment : layout.segments()) {
    auto const tokens = static_cast<double>(segment.tokens());
    flops += 2 * tokens * tokens * static_cast<double>(segment.images * width);
  }
  return flops;
}

}  // namespace

template <class T>
void AttentionForward<T>::check() const {
  require_shape("AttentionForward", layout, heads, qkv.extent(1));
  auto const rows = layout->rows(), width = qkv.extent(1) / 3;
  require_extents("AttentionForward", "qkv", qkv, {rows, 3 * width});
  require_extents("AttentionForward", "out", out, {rows, width});
  require_extents_or_none("AttentionForward", "lse", lse, {rows, heads});
  require_scratch("AttentionForward", scratch, rows);
}

template <class T>
double AttentionForward<T>::matrix_flops() const {
  return 2 * product_flops(*layout, out.extent(1));
}

template <class T>
void AttentionBackward<T>::check() const {
  require_shape("AttentionBackward", layout, heads, qkv.extent(1));
  auto const rows = layout->rows(), width = qkv.extent(1) / 3;
  require_extents("AttentionBackward", "qkv", qkv, {rows, 3 * width});
  require_extents("AttentionBackward", "out", out, {rows, width});
  require_extents("AttentionBackward", "dout", dout, {rows, width});
  require_extents("AttentionBackward", "lse", lse, {rows, heads});
  require_extents("AttentionBackward", "dqkv", dqkv, {rows, 3 * width});
  require_scratch("AttentionBackward", scratch, rows);
}

template <class T>
double AttentionBackward<T>::matrix_flops() const {
  return 5 * product_flops(*layout, out.extent(1));
}

template <class T>
void AttentionProbabilities<T>::check() const {
  require_shape("AttentionProbabilities", layout, heads, qkv.extent(1));
  require(layout->segments().size() == 1, ExitCode::bug,
          "AttentionProbabilities: the layout has {} segments, expected 1",
          layout->segments().size());
  auto const& segment = layout->segments().front();
  require_extents("AttentionProbabilities", "qkv", qkv, {layout->rows(), qkv.extent(1)});
  require_extents("AttentionProbabilities", "probabilities", probabilities,
                  {segment.images, heads, segment.tokens(), segment.tokens()});
}

// See kernels/cuda/attention.cpp.
template <class T>
std::int64_t attention_scratch_bytes(Processor processor, TokenLayout const& layout,
                                     std::int64_t heads, std::int64_t head_dim) {
  if (processor == Processor::host) return host::attention_scratch_bytes(layout, head_dim);
  auto const rows = attention_scratch_part(layout.rows() * heads);
  if constexpr (std::is_same_v<T, float>) return rows;
  return 2 * rows + attention_scratch_part(layout.rows() * heads * head_dim);
}

template std::int64_t attention_scratch_bytes<float>(Processor, TokenLayout const&, std::int64_t,
                                                     std::int64_t);
template std::int64_t attention_scratch_bytes<bfloat16>(Processor, TokenLayout const&, std::int64_t,
                                                        std::int64_t);

template struct AttentionForward<float>;
template struct AttentionForward<bfloat16>;
template struct AttentionBackward<float>;
template struct AttentionBackward<bfloat16>;
template struct AttentionProbabilities<float>;
template struct AttentionProbabilities<bfloat16>;

}  // namespace dino
