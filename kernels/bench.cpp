// SPDX-License-Identifier: Apache-2.0
#include "kernels/bench.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "base/error.hpp"
#include "base/philox.hpp"
#include "kernels/arena.hpp"
#include "kernels/attention.hpp"
#include "kernels/gemm.hpp"

namespace dino {

namespace {

/// Least duration of an operation in seconds, over repetitions that take `seconds` together but at
/// least two. A device is given several at a time, so that its queue does not run empty.
template <class Op>
double best_time(Space const& space, double seconds, Op const& op) {
  using Clock = std::chrono::steady_clock;
  using Seconds = std::chrono::duration<double>;
  double best = std::numeric_limits<double>::infinity();
  int const batch = is_host(space) ? 1 : 10;
  run(space, op);  // buffers of libraries, algorithms
  synchronize(space);
  auto const begin = Clock::now();
  for (int n = 0; n < 2 || Seconds(Clock::now() - begin).count() < seconds; ++n) {
    auto const start = Clock::now();
    for (int i = 0; i < batch; ++i) run(space, op);
    synchronize(space);
    best = std::min(best, Seconds(Clock::now() - start).count() / batch);
  }
  return best;
}

/// Random values, since products with zeros or subnormal numbers may run at another rate.
template <class T, int R>
View<T, R> random_array(Space const& space, Arena& arena, std::array<std::int64_t, R> extents) {
  auto const view = arena.take<T, R>(extents);
  Philox random(0, Purpose::test, 0);
  std::vector<T> values(static_cast<std::size_t>(view.size()));
  for (auto& value : values) value = static_cast<T>(static_cast<float>(random.uniform(-0.5, 0.5)));
  copy_to_space(space, view, std::span<T const>(values));
  return view;
}

template <class T>
GemmFigure measure_gemm_in(Space const& space, std::int64_t rows, std::int64_t in, std::int64_t out,
                           double seconds) {
  auto const values = 2 * (rows * in + rows * out + out * in + out);
  Arena arena(space, values * static_cast<std::int64_t>(sizeof(float)) + 16 * Arena::alignment);
  LinearForward<T> const forward{
      random_array<T, 2>(space, arena, {rows, in}), random_array<T, 2>(space, arena, {out, in}),
      random_array<T, 1>(space, arena, {out}), arena.take<T, 2>({rows, out})};
  auto const dy = random_array<T, 2>(space, arena, {rows, out});
  LinearBackwardInput<T> const backward_input{dy, forward.weight, arena.take<T, 2>({rows, in})};
  LinearBackwardWeight<T> const backward_weight{forward.x, dy,
                                                random_array<float, 2>(space, arena, {out, in}),
                                                random_array<float, 1>(space, arena, {out})};
  auto const rate = [&](auto const& op) {
    return op.matrix_flops() / best_time(space, seconds / 3, op) * 1e-9;
  };
  return {rate(forward), rate(backward_input), rate(backward_weight)};
}

template <class T>
AttentionFigure measure_attention_in(Space const& space, std::int64_t images, std::int64_t grid,
                                     std::int64_t heads, std::int64_t head_dim, double seconds) {
  TokenLayout layout;
  layout.add(images, grid, grid);
  auto const rows = layout.rows(), width = heads * head_dim;
  auto const scratch_bytes =
      attention_scratch_bytes<T>(processor_of(space), layout, heads, head_dim);
  auto const values = rows * (8 * width + heads);
  Arena arena(space, values * static_cast<std::int64_t>(sizeof(float)) + scratch_bytes +
                         16 * Arena::alignment);
  auto* const scratch = arena.take<std::byte, 1>({scratch_bytes}).data();
  auto const out = arena.take<T, 2>({rows, width});
  auto const lse = arena.take<float, 2>({rows, heads});
  AttentionForward<T> const forward{
      random_array<T, 2>(space, arena, {rows, 3 * width}), &layout, heads, out, lse, scratch};
  AttentionBackward<T> const backward{forward.qkv,
                                      out,
                                      random_array<T, 2>(space, arena, {rows, width}),
                                      lse,
                                      &layout,
                                      heads,
                                      arena.take<T, 2>({rows, 3 * width}),
                                      scratch};
  return {best_time(space, seconds / 2, forward), best_time(space, seconds / 2, backward)};
}

}  // namespace

GemmFigure measure_gemm(Space const& space, Precision precision, std::int64_t rows, std::int64_t in,
                        std::int64_t out, double seconds) {
  require(rows >= 1 && in >= 1 && out >= 1, ExitCode::usage,
          "cannot time a product of {} rows, {} -> {}: all must be at least 1", rows, in, out);
  return precision == Precision::bf16 ? measure_gemm_in<bfloat16>(space, rows, in, out, seconds)
                                      : measure_gemm_in<float>(space, rows, in, out, seconds);
}

AttentionFigure measure_attention(Space const& space, Precision precision, std::int64_t images,
                                  std::int64_t grid, std::int64_t heads, std::int64_t head_dim,
                                  double seconds) {
  require(images >= 1 && grid >= 1 && heads >= 1 && head_dim >= 1, ExitCode::usage,
          "cannot time attention of {} images, grid {}, {} heads of {}: all must be at least 1",
          images, grid, heads, head_dim);
  return precision == Precision::bf16
             ? measure_attention_in<bfloat16>(space, images, grid, heads, head_dim, seconds)
             : measure_attention_in<float>(space, images, grid, heads, head_dim, seconds);
}

}  // namespace dino
