// SPDX-License-Identifier: Apache-2.0
#include "optim/schedule.hpp"

#include <cmath>
#include <numbers>

namespace dino::optim {
namespace {

/// (1 + cos(pi x)) / 2: from 1 at x = 0 to 0 at x = 1.
double half_cosine(double x) {
  return 0.5 * (1.0 + std::cos(std::numbers::pi * x));
}

double ratio(std::int64_t a, std::int64_t b) {
  return static_cast<double>(a) / static_cast<double>(b);
}

/// Value i of `count` equidistant ones from `from` to `to`, both included (count 1: `from`).
double equidistant(double from, double to, std::int64_t i, std::int64_t count) {
  if (count == 1) return from;
  return i == count - 1 ? to : from + (to - from) * ratio(i, count - 1);
}

/// Share of the way from `last` back to `base` at j of n values: the cosine of a longer run, cut
/// off at n and rescaled so that value n - 1 is 0.
double truncated_cosine(std::int64_t j, std::int64_t n, double extra) {
  auto const longer = static_cast<std::int64_t>((1.0 + extra) * static_cast<double>(n));
  if (longer <= 1 || n == 1) return 1.0;
  double const cut = half_cosine(ratio(n - 1, longer - 1));
  return (half_cosine(ratio(j, longer - 1)) - cut) / (1.0 - cut);
}

}  // namespace

double CosineA::at(std::int64_t iteration) const {
  if (iteration >= total) return last;
  if (iteration < freeze) return 0.0;
  auto const i = iteration - freeze;
  if (i < warmup) return equidistant(start, base, i, warmup);
  auto const n = total - freeze - warmup;
  auto const j = i - warmup;
  double const share =
      trunc_extra > 0 ? truncated_cosine(j, n, trunc_extra) : half_cosine(ratio(j, n));
  return last + (base - last) * share;
}

double CosineB::at(std::int64_t iteration) const {
  if (iteration < warmup) return start + (peak - start) * ratio(iteration, warmup);
  auto const n = cosine.value_or(total - warmup);
  auto const j = iteration - warmup;
  if (j >= n) return end;
  return n == 1 ? peak : end + (peak - end) * half_cosine(ratio(j, n - 1));
}

double LinearRamp::at(std::int64_t index) const {
  return index < warmup ? equidistant(start, value, index, warmup) : value;
}

double scaled_lr(double lr, LrScaling rule, std::int64_t global_batch) {
  auto const batch = static_cast<double>(global_batch);
  switch (rule) {
    case LrScaling::none:
      return lr;
    case LrScaling::linear_256:
      return lr * batch / 256.0;
    case LrScaling::sqrt_1024:
      return lr * std::sqrt(batch / 1024.0);
    case LrScaling::four_sqrt_1024:
      return lr * 4.0 * std::sqrt(batch / 1024.0);
  }
  return lr;
}

}  // namespace dino::optim
