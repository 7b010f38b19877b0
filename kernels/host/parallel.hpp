// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <Kokkos_Core.hpp>
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace dino::host {

/// Initializes Kokkos unless it is; see KernelRuntime.
void ensure_runtime();

/// Number of threads that `parallel_rows` uses.
std::int64_t concurrency();

/// f(i) for i in [0, n), in any order. From one thread of the process only; f does not call it
/// again.
template <class F>
void parallel_rows(std::int64_t n, F const& f) {
  if (n <= 0) return;
  ensure_runtime();
  Kokkos::parallel_for(
      "rows",
      Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace, Kokkos::IndexType<std::int64_t>>(0, n),
      f);
}

/// f(begin, end) for consecutive parts of [0, n) with at most `part` values each.
template <class F>
void parallel_parts(std::int64_t n, std::int64_t part, F const& f) {
  parallel_rows((n + part - 1) / part,
                [=](std::int64_t p) { f(p * part, std::min(n, (p + 1) * part)); });
}

/// Values of a one-dimensional part: fits the first cache with its operands.
constexpr std::int64_t elements_per_part = 2048;

/// Σ f(begin, end) over consecutive parts of [0, n): their number depends on n alone, so that the
/// sum has the same bits whatever the number of threads.
template <class F>
double parallel_sum(std::int64_t n, F const& f) {
  constexpr std::int64_t parts = 64;
  std::array<double, parts> sums{};
  auto* const out = sums.data();
  auto const part = std::max<std::int64_t>(1, (n + parts - 1) / parts);
  parallel_parts(n, part,
                 [=](std::int64_t begin, std::int64_t end) { out[begin / part] = f(begin, end); });
  double total = 0;
  for (auto const s : sums) total += s;
  return total;
}

}  // namespace dino::host
