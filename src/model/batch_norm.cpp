// SPDX-License-Identifier: Apache-2.0
#include "model/batch_norm.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"

namespace dino {
namespace {

View<double, 2> of_group(View<double, 2> const& sums, std::size_t group) {
  auto const first = 2 * static_cast<std::int64_t>(group);
  return sums.rows(first, first + 2);
}

}  // namespace

using shard::Decay;
using shard::Init;
using shard::Trained;

void add_batch_norm(shard::UnitSpec& unit, std::string const& name, std::int64_t channels) {
  unit.parameters.push_back(
      {.name = name + ".weight", .shape = {channels}, .init = Init::ones(), .decay = Decay::no});
  unit.parameters.push_back(
      {.name = name + ".bias", .shape = {channels}, .init = Init::zeros(), .decay = Decay::no});
}

void add_running_statistics(shard::UnitSpec& unit, std::string const& name, std::int64_t channels) {
  for (auto const& [statistic, init] :
       {std::pair{".running_mean", Init::zeros()}, std::pair{".running_var", Init::ones()}}) {
    unit.parameters.push_back({.name = name + statistic,
                               .shape = {channels},
                               .init = init,
                               .decay = Decay::no,
                               .trained = Trained::no});
  }
}

template <class T>
BatchNorm<T>::BatchNorm(Space const& space, Communicator const& world, std::int64_t channels)
    : space_(space),
      world_(world),
      mean_(static_cast<std::size_t>(channels)),
      variance_(static_cast<std::size_t>(channels)) {}

template <class T>
void BatchNorm<T>::forward(Arena& arena, Affine const& affine, std::span<Rows const> groups,
                           Relu relu, Keep keep) {
  auto const width = static_cast<std::int64_t>(channels());
  std::vector<Kept> kept;
  for (auto const& rows : groups) {
    auto const statistics = arena.take<float, 1>({2 * width});
    kept.push_back({.rows = rows,
                    .mean = statistics.rows(0, width),
                    .rstd = statistics.rows(width, 2 * width)});
  }
  // Σ x and Σ x² of every channel of each group, then the numbers of their rows.
  std::vector<double> shared(groups.size() * (2 * channels() + 1));
  auto const values = std::span(shared).first(groups.size() * 2 * channels());
  auto const counts = std::span(shared).subspan(values.size());
  {
    ArenaScope const scope(arena);
    auto const sums = take_sums(arena, groups.size());
    for (std::size_t g = 0; g < groups.size(); ++g) {
      run(space_, BatchMoments<T>{.x = groups[g].x, .sums = of_group(sums, g)});
      counts[g] = static_cast<double>(groups[g].x.extent(0));
    }
    copy_to_host(space_, values, View<double const, 2>(sums));
  }
  world_.sum(std::span(shared));
  for (std::size_t g = 0; g < groups.size(); ++g) {
    kept[g].count = counts[g];
    take_statistics(values.subspan(g * 2 * channels(), 2 * channels()), counts[g], kept[g]);
    run(space_, BatchNormForward<T>{.x = groups[g].x,
                                    .mean = kept[g].mean,
                                    .rstd = kept[g].rstd,
                                    .weight = affine.weight,
                                    .bias = affine.bias,
                                    .residual = groups[g].residual,
                                    .relu = relu,
                                    .y = groups[g].y});
  }
  if (keep == Keep::no) return;
  kept_ = std::move(kept);
  relu_ = relu;
}

/// Two sums of every channel for each group, [2 groups, C].
template <class T>
View<double, 2> BatchNorm<T>::take_sums(Arena& arena, std::size_t groups) const {
  return arena.take<double, 2>(
      {2 * static_cast<std::int64_t>(groups), static_cast<std::int64_t>(channels())});
}

/// Mean and deviation of a group from its sums; they join those that wait for `update_running`.
template <class T>
void BatchNorm<T>::take_statistics(std::span<double const> sums, double count, Kept const& kept) {
  std::vector<float> mean(channels()), rstd(channels());
  double const n = std::max(count, 1.0);
  double const unbiased = n / std::max(n - 1, 1.0);
  rest_ *= 1 - momentum;
  for (std::size_t c = 0; c < channels(); ++c) {
    double const m = sums[c] / n;
    // Not std::max: a NaN must stay one.
    double const difference = sums[channels() + c] / n - m * m;
    double const variance = difference < 0 ? 0 : difference;
    mean[c] = static_cast<float>(m);
    rstd[c] = static_cast<float>(1 / std::sqrt(variance + eps));
    mean_[c] = (1 - momentum) * mean_[c] + momentum * m;
    variance_[c] = (1 - momentum) * variance_[c] + momentum * variance * unbiased;
  }
  copy_to_space(space_, kept.mean, std::span<float const>(mean));
  copy_to_space(space_, kept.rstd, std::span<float const>(rstd));
}

template <class T>
void BatchNorm<T>::evaluate(Arena& arena, Affine const& affine, View<float const, 1> running_mean,
                            View<float const, 1> running_var, std::span<Rows const> groups,
                            Relu relu) const {
  ArenaScope const scope(arena);
  std::vector<float> rstd(channels());
  copy_to_host(space_, std::span(rstd), running_var);
  for (auto& v : rstd) v = static_cast<float>(1 / std::sqrt(static_cast<double>(v) + eps));
  auto const there = arena.take<float, 1>({static_cast<std::int64_t>(channels())});
  copy_to_space(space_, there, std::span<float const>(rstd));
  for (auto const& rows : groups) {
    run(space_, BatchNormForward<T>{.x = rows.x,
                                    .mean = running_mean,
                                    .rstd = there,
                                    .weight = affine.weight,
                                    .bias = affine.bias,
                                    .residual = rows.residual,
                                    .relu = relu,
                                    .y = rows.y});
  }
}

template <class T>
void BatchNorm<T>::backward(Arena& arena, Affine const& affine, View<float, 1> dweight,
                            View<float, 1> dbias, std::span<Gradients const> groups) {
  ArenaScope const scope(arena);
  require(groups.size() == kept_.size(), ExitCode::bug,
          "a batch norm kept {} groups of rows, backward has {}", kept_.size(), groups.size());
  auto const sums = take_sums(arena, groups.size());
  std::vector<double> shared(groups.size() * 2 * channels());
  auto const result = [&](Kept const& kept) {
    return relu_ == Relu::yes ? View<T const, 2>(kept.rows.y) : View<T const, 2>{};
  };
  for (std::size_t g = 0; g < groups.size(); ++g) {
    auto const& kept = kept_[g];
    run(space_, BatchNormBackwardSums<T>{.dy = groups[g].dy,
                                         .y = result(kept),
                                         .x = kept.rows.x,
                                         .mean = kept.mean,
                                         .rstd = kept.rstd,
                                         .sums = of_group(sums, g),
                                         .dweight = dweight,
                                         .dbias = dbias});
  }
  copy_to_host(space_, std::span(shared), View<double const, 2>(sums));
  world_.sum(std::span(shared));
  copy_to_space(space_, sums, std::span<double const>(shared));
  for (std::size_t g = 0; g < groups.size(); ++g) {
    auto const& kept = kept_[g];
    run(space_, BatchNormBackward<T>{.dy = groups[g].dy,
                                     .y = result(kept),
                                     .x = kept.rows.x,
                                     .mean = kept.mean,
                                     .rstd = kept.rstd,
                                     .weight = affine.weight,
                                     .sums = of_group(sums, g),
                                     .rows = kept.count,
                                     .dx = groups[g].dy,
                                     .dresidual = groups[g].dresidual});
  }
}

template <class T>
void BatchNorm<T>::forget() {
  rest_ = 1;
  std::fill(mean_.begin(), mean_.end(), 0.0);
  std::fill(variance_.begin(), variance_.end(), 0.0);
}

template <class T>
void BatchNorm<T>::update_running(shard::ParameterStore<T>& store, int unit,
                                  std::string const& name) const {
  move_part(store, unit, name + ".running_mean", mean_);
  move_part(store, unit, name + ".running_var", variance_);
}

template <class T>
void BatchNorm<T>::move_part(shard::ParameterStore<T>& store, int unit, std::string const& name,
                             std::vector<double> const& fresh) const {
  auto const& layout = store.layout(unit);
  auto const parameter = layout.find(name);
  require(parameter >= 0, ExitCode::bug, "unit {} has no {}", layout.spec().prefix, name);
  auto const overlap = layout.overlap(static_cast<std::size_t>(parameter), store.part());
  auto const mine = store.master(unit).rows(overlap.in_part, overlap.in_part + overlap.count);
  std::vector<float> values(static_cast<std::size_t>(overlap.count));
  copy_to_host(space_, std::span(values), View<float const, 1>(mine));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(rest_ * static_cast<double>(values[i]) +
                                   fresh[static_cast<std::size_t>(overlap.in_parameter) + i]);
  }
  copy_to_space(space_, mine, std::span<float const>(values));
}

template class BatchNorm<float>;
template class BatchNorm<bfloat16>;

}  // namespace dino
