// SPDX-License-Identifier: Apache-2.0
#include "kernels/bench.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "base/error.hpp"
#include "base/philox.hpp"
#include "kernels/arena.hpp"
#include "kernels/attention.hpp"
#include "kernels/gemm.hpp"

namespace dino {

namespace {

/// Least duration of f() in seconds, over repetitions that take `seconds` together but at least
/// two.
template <class F>
double best_time(double seconds, F const& f) {
  using Clock = std::chrono::steady_clock;
  using Seconds = std::chrono::duration<double>;
  double best = std::numeric_limits<double>::infinity();
  auto const begin = Clock::now();
  for (int n = 0; n < 2 || Seconds(Clock::now() - begin).count() < seconds; ++n) {
    auto const start = Clock::now();
    f();
    best = std::min(best, Seconds(Clock::now() - start).count());
  }
  return best;
}

/// Random values, since products with zeros or subnormal numbers may run at another rate.
template <class T, int R>
View<T, R> random_array(Arena& arena, std::array<std::int64_t, R> extents) {
  auto const view = arena.take<T, R>(extents);
  Philox random(0, Purpose::test, 0);
  for (auto& value : view.span()) {
    value = static_cast<T>(static_cast<float>(random.uniform(-0.5, 0.5)));
  }
  return view;
}

template <class T>
GemmFigure measure_gemm_in(std::int64_t rows, std::int64_t in, std::int64_t out, double seconds) {
  Space const space{Host{}};
  auto const values = 2 * (rows * in + rows * out + out * in + out);
  Arena arena(space, values * static_cast<std::int64_t>(sizeof(float)) + 16 * Arena::alignment);
  LinearForward<T> const forward{random_array<T, 2>(arena, {rows, in}),
                                 random_array<T, 2>(arena, {out, in}),
                                 random_array<T, 1>(arena, {out}), arena.take<T, 2>({rows, out})};
  auto const dy = random_array<T, 2>(arena, {rows, out});
  LinearBackwardInput<T> const backward_input{dy, forward.weight, arena.take<T, 2>({rows, in})};
  LinearBackwardWeight<T> const backward_weight{forward.x, dy,
                                                random_array<float, 2>(arena, {out, in}),
                                                random_array<float, 1>(arena, {out})};
  auto const rate = [&](auto const& op) {
    return op.matrix_flops() / best_time(seconds / 3, [&] { run(space, op); }) * 1e-9;
  };
  return {rate(forward), rate(backward_input), rate(backward_weight)};
}

template <class T>
AttentionFigure measure_attention_in(std::int64_t images, std::int64_t grid, std::int64_t heads,
                                     std::int64_t head_dim, double seconds) {
  Space const space{Host{}};
  TokenLayout layout;
  layout.add(images, grid, grid);
  auto const rows = layout.rows(), width = heads * head_dim;
  auto const scratch_bytes = attention_scratch_bytes<T>(layout, heads, head_dim);
  auto const values = rows * (8 * width + heads);
  Arena arena(space, values * static_cast<std::int64_t>(sizeof(float)) + scratch_bytes +
                         16 * Arena::alignment);
  auto* const scratch = arena.take<std::byte, 1>({scratch_bytes}).data();
  auto const out = arena.take<T, 2>({rows, width});
  auto const lse = arena.take<float, 2>({rows, heads});
  AttentionForward<T> const forward{
      random_array<T, 2>(arena, {rows, 3 * width}), &layout, heads, out, lse, scratch};
  AttentionBackward<T> const backward{
      forward.qkv, out,   random_array<T, 2>(arena, {rows, width}), lse,
      &layout,     heads, arena.take<T, 2>({rows, 3 * width}),      scratch};
  return {best_time(seconds / 2, [&] { run(space, forward); }),
          best_time(seconds / 2, [&] { run(space, backward); })};
}

}  // namespace

GemmFigure measure_gemm(Precision precision, std::int64_t rows, std::int64_t in, std::int64_t out,
                        double seconds) {
  require(rows >= 1 && in >= 1 && out >= 1, ExitCode::usage,
          "cannot time a product of {} rows, {} -> {}: all must be at least 1", rows, in, out);
  return precision == Precision::bf16 ? measure_gemm_in<bfloat16>(rows, in, out, seconds)
                                      : measure_gemm_in<float>(rows, in, out, seconds);
}

AttentionFigure measure_attention(Precision precision, std::int64_t images, std::int64_t grid,
                                  std::int64_t heads, std::int64_t head_dim, double seconds) {
  require(images >= 1 && grid >= 1 && heads >= 1 && head_dim >= 1, ExitCode::usage,
          "cannot time attention of {} images, grid {}, {} heads of {}: all must be at least 1",
          images, grid, heads, head_dim);
  return precision == Precision::bf16
             ? measure_attention_in<bfloat16>(images, grid, heads, head_dim, seconds)
             : measure_attention_in<float>(images, grid, heads, head_dim, seconds);
}

}  // namespace dino
