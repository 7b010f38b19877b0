// SPDX-License-Identifier: Apache-2.0
#include "kernels/koleo.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/host/parallel.hpp"
#include "kernels/host/row_math.hpp"

namespace dino {

void execute(Host const&, TopNeighbours const& op) {
  auto const columns = op.similarity.extent(1), topk = op.neighbours.extent(1);
  host::parallel_rows(op.similarity.extent(0), [=](std::int64_t row) {
    auto const* const s = op.similarity.row(row);
    auto* const found = op.neighbours.row(row);
    auto const own = op.first + row;
    auto const before = [=](std::int64_t a, std::int64_t b) {
      return a != own && (b == own || s[a] > s[b]);
    };
    std::int64_t count = 0;
    for (std::int64_t k = 0; k < columns; ++k) {
      if (count == topk && !before(k, found[count - 1])) continue;
      count = std::min(count + 1, topk);
      auto place = count - 1;
      for (; place > 0 && before(k, found[place - 1]); --place) found[place] = found[place - 1];
      found[place] = k;
    }
  });
}

namespace {

/// ‖u_i - u_j + ε‖, in double: where vectors are equal it is ε √D.
double distance(KoleoPairs const& op, std::int64_t i, std::int64_t j) {
  auto const* const a = op.u.row(i);
  auto const* const b = op.u.row(j);
  double const eps = static_cast<double>(op.eps);
  double squares = 0;
#pragma omp simd reduction(+ : squares)
  for (std::int64_t k = 0; k < op.u.extent(1); ++k) {
    double const e = static_cast<double>(a[k]) - static_cast<double>(b[k]) + eps;
    squares += e * e;
  }
  return std::sqrt(squares);
}

/// Columns [begin, end) of the gradient, pair by pair: the order of sums does not depend on
/// threads.
void add_gradient(KoleoPairs const& op, std::int64_t begin, std::int64_t end) {
  auto const rows = op.u.extent(0), topk = op.neighbours.extent(1);
  for (std::int64_t i = 0; i < rows; ++i) std::fill(op.du.row(i) + begin, op.du.row(i) + end, 0.0F);
  double const eps = static_cast<double>(op.eps);
  for (std::int64_t pair = 0; pair < rows * topk; ++pair) {
    auto const i = pair / topk, j = op.neighbours[pair];
    if (i == j) continue;  // both shares cancel
    double const c = op.coefficients[pair];
    auto const* const a = op.u.row(i);
    auto const* const b = op.u.row(j);
    auto* const da = op.du.row(i);
    auto* const db = op.du.row(j);
#pragma omp simd
    for (std::int64_t k = begin; k < end; ++k) {
      auto const share =
          static_cast<float>(c * (static_cast<double>(a[k]) - static_cast<double>(b[k]) + eps));
      da[k] -= share;
      db[k] += share;
    }
  }
}

}  // namespace

void execute(Host const&, KoleoPairs const& op) {
  auto const topk = op.neighbours.extent(1);
  double const eps = static_cast<double>(op.eps);
  op.loss[0] -= op.weight * host::parallel_sum(op.u.extent(0) * topk, [=](std::int64_t first,
                                                                          std::int64_t last) {
                  double part = 0;
                  for (std::int64_t pair = first; pair < last; ++pair) {
                    auto const i = pair / topk;
                    double const d = distance(op, i, op.neighbours[pair]);
                    op.coefficients[pair] = op.gradient_factor * op.weight / (d * (d + eps));
                    if (i >= op.begin && i < op.end) part += std::log(d + eps);
                  }
                  return part;
                });
  host::parallel_parts(op.u.extent(1), 64,
                       [=](std::int64_t begin, std::int64_t end) { add_gradient(op, begin, end); });
}

}  // namespace dino
