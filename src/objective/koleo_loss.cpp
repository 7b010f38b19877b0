// SPDX-License-Identifier: Apache-2.0
#include "objective/koleo_loss.hpp"

#include <algorithm>
#include <array>
#include <numeric>

#include "kernels/gemm.hpp"
#include "kernels/koleo.hpp"
#include "kernels/norm.hpp"

namespace dino {
namespace {

constexpr float koleo_eps = 1e-8F;             // method.md 3.7
constexpr std::int64_t similarity_rows = 256;  // of the matrix of products that are kept at once

/// Samples of the group that holds `sample`.
Share group_of(std::int64_t sample, KoleoSettings const& settings) {
  auto const size = settings.group_size.value_or(settings.global_batch);
  auto const begin = sample / size * size;
  return {begin, std::min(begin + size, settings.global_batch)};
}

Share overlap(Share a, Share b) {
  auto const begin = std::max(a.begin, b.begin);
  return {begin, std::max(begin, std::min(a.end, b.end))};
}

/// Rows [i, end) of one group. \throws Error (usage) unless they are the whole of it
Share complete_group(std::vector<std::int64_t> const& samples, std::int64_t i,
                     KoleoSettings const& settings) {
  auto const at = [&](std::int64_t row) { return samples[static_cast<std::size_t>(row)]; };
  auto const group = group_of(at(i), settings);
  auto const end = i + group.size();
  bool const whole = at(i) == group.begin && end <= static_cast<std::int64_t>(samples.size()) &&
                     at(end - 1) == group.end - 1;
  require(
      whole, ExitCode::usage,
      "the samples [{}, {}) of the global batch, a KoLeo group, are not all in one micro-batch "
      "of the ranks (a neighbour may be in a later one). Leave run.micro_batch unset, or choose "
      "a group size that divides what each rank has in a micro-batch",
      group.begin, group.end);
  return {i, end};
}

}  // namespace

void KoleoSettings::validate() const {
  auto const size = group_size.value_or(global_batch);
  require(size >= 1, ExitCode::usage, "invalid KoLeo group size {} (must be at least 1)", size);
  require(topk >= 1, ExitCode::usage,
          "invalid koleo.topk={} (must be at least 1). Try koleo.topk=1", topk);
  auto const last = global_batch % size == 0 ? size : global_batch % size;
  auto const smallest = std::min({size, last, global_batch});
  require(
      topk <= smallest, ExitCode::usage,
      "koleo.topk={} neighbours in a group of {} samples (groups of {} of a global batch of {}). "
      "Choose larger groups or fewer neighbours",
      topk, smallest, size, global_batch);
}

KoleoLoss::KoleoLoss(Space const& space, std::int64_t dim)
    : space_(space), dim_(dim), memory_(space, sizeof(double)), loss_(memory_.as<double>(0, 1)) {}

void KoleoLoss::begin_step() {
  copy_to_space(space_, loss_, std::span<double const>(std::array{0.0}));
}

double KoleoLoss::local_loss() const {
  double value = 0;
  copy_to_host(space_, std::span(&value, 1), View<double const, 1>(loss_));
  return value;
}

void KoleoLoss::add(Arena& arena, Communicator const& world, View<float const, 2> features,
                    std::int64_t first, KoleoSettings const& settings, View<float, 2> gradient) {
  settings.validate();
  ArenaScope const scope(arena);
  if (is_dry(space_)) {  // what it takes where all ranks' samples are gathered
    if (world.is_imaginary()) count_gather(world, features);
    auto const all = arena.take<float, 2>({settings.global_batch, dim_});
    return add_gathered(arena, all, 0, {first, first + features.extent(0)}, settings, gradient);
  }
  auto const gathered = gather(arena, world, features, first);
  auto const rows = gathered.rows.extent(0);
  for (std::int64_t i = 0; i < rows;) {
    auto const group = complete_group(gathered.samples, i, settings);
    i = group.end;
  }
  for (std::int64_t i = 0; i < rows;) {
    auto const group = complete_group(gathered.samples, i, settings);
    auto const own = overlap(group, gathered.own);
    if (own.size() > 0) {
      add_gathered(arena, gathered.rows.rows(group.begin, group.end),
                   gathered.samples[static_cast<std::size_t>(i)], {own.begin - i, own.end - i},
                   settings,
                   gradient.rows(own.begin - gathered.own.begin, own.end - gathered.own.begin));
    }
    i = group.end;
  }
}

void KoleoLoss::add_gathered(Arena& arena, View<float const, 2> all, std::int64_t first_sample,
                             Share own, KoleoSettings const& settings, View<float, 2> gradient) {
  settings.validate();
  for (std::int64_t row = own.begin; row < own.end;) {
    auto const samples = group_of(first_sample + row, settings);
    Share const group{samples.begin - first_sample, samples.end - first_sample};
    require(group.begin >= 0 && group.end <= all.extent(0), ExitCode::bug,
            "KoLeo: rows [{}, {}) of a group, {} are there", group.begin, group.end, all.extent(0));
    auto const rows = overlap(group, own);
    add_group(arena, all.rows(group.begin, group.end),
              {rows.begin - group.begin, rows.end - group.begin}, settings,
              gradient.rows(rows.begin - own.begin, rows.end - own.begin));
    row = rows.end;
  }
}

// The shares of all pairs of the group go into its gradient, also those of which this rank has only
// the neighbour; so no gradient travels.
void KoleoLoss::add_group(Arena& arena, View<float const, 2> group, Share own,
                          KoleoSettings const& settings, View<float, 2> gradient) {
  ArenaScope const scope(arena);
  auto const n = group.extent(0);
  auto const u = arena.take<float, 2>({n, dim_});
  auto const norm = arena.take<float, 1>({n});
  run(space_, L2NormalizeForward<float>{.x = group, .y = u, .norm = norm, .eps = koleo_eps});
  auto const found = neighbours(arena, u, settings.topk);
  auto const du = arena.take<float, 2>({n, dim_});
  auto const pairs =
      static_cast<double>(settings.global_batch) * static_cast<double>(settings.topk);
  run(space_, KoleoPairs{.u = u,
                         .neighbours = found,
                         .begin = own.begin,
                         .end = own.end,
                         .weight = 1.0 / pairs,
                         .gradient_factor = settings.loss_weight,
                         .coefficients = arena.take<double, 2>({n, settings.topk}),
                         .du = du,
                         .loss = loss_,
                         .eps = koleo_eps});
  run(space_, L2NormalizeBackward<float>{.dy = du.rows(own.begin, own.end),
                                         .y = u.rows(own.begin, own.end),
                                         .norm = norm.rows(own.begin, own.end),
                                         .dx = gradient,
                                         .eps = koleo_eps});
}

View<std::int64_t, 2> KoleoLoss::neighbours(Arena& arena, View<float const, 2> u,
                                            std::int64_t topk) {
  auto const n = u.extent(0);
  auto const found = arena.take<std::int64_t, 2>({n, topk});
  ArenaScope const scope(arena);
  auto const tile = arena.take<float, 2>({std::min(n, similarity_rows), n});
  for (std::int64_t begin = 0; begin < n; begin += similarity_rows) {
    auto const end = std::min(n, begin + similarity_rows);
    auto const similarity = tile.rows(0, end - begin);
    run(space_,
        LinearForward<float>{.x = u.rows(begin, end), .weight = u, .bias = {}, .y = similarity});
    run(space_,
        TopNeighbours{
            .similarity = similarity, .first = begin, .neighbours = found.rows(begin, end)});
  }
  return found;
}

/// What `gather` moves where every rank has as many samples as this one, which do not exist.
void KoleoLoss::count_gather(Communicator const& world, View<float const, 2> features) const {
  auto const ranks = static_cast<std::size_t>(world.size());
  std::vector<std::int64_t> layout(2 * ranks);
  world.sum(std::span(layout));
  auto const bytes = static_cast<std::size_t>(features.size()) * sizeof(float);
  world.all_gather({no_memory<std::byte const>(), bytes}, {no_memory<std::byte>(), bytes * ranks});
}

KoleoLoss::Gathered KoleoLoss::gather(Arena& arena, Communicator const& world,
                                      View<float const, 2> features, std::int64_t first) {
  auto const ranks = static_cast<std::size_t>(world.size());
  auto const me = static_cast<std::size_t>(world.rank());
  std::vector<std::int64_t> layout(2 * ranks);  // first sample of each rank, then its number
  layout[me] = first;
  layout[ranks + me] = features.extent(0);
  world.sum(std::span(layout));
  auto const* const counts = layout.data() + ranks;
  auto const share = static_cast<std::size_t>(dim_ * *std::max_element(counts, counts + ranks));

  if (mine_.size() < share) mine_.resize(share);
  if (of_ranks_.size() < share * ranks) of_ranks_.resize(share * ranks);
  copy_to_host(space_, std::span(mine_).first(static_cast<std::size_t>(features.size())), features);
  world
      .all_gather(std::as_bytes(std::span(mine_).first(share)),
                  std::as_writable_bytes(std::span(of_ranks_).first(share * ranks)))
      .wait();

  std::vector<std::size_t> order(ranks);
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return layout[a] < layout[b]; });
  auto const total = std::accumulate(counts, counts + ranks, std::int64_t{0});
  auto const rows = arena.take<float, 2>({total, dim_});
  Gathered out{.rows = rows, .samples = {}, .own = {}};
  for (auto const rank : order) {
    auto const begin = static_cast<std::int64_t>(out.samples.size());
    auto const count = counts[rank];
    copy_to_space(space_, rows.rows(begin, begin + count),
                  std::span<float const>(of_ranks_).subspan(
                      rank * share, static_cast<std::size_t>(count * dim_)));
    for (std::int64_t i = 0; i < count; ++i) out.samples.push_back(layout[rank] + i);
    if (rank == me) out.own = {begin, begin + count};
  }
  return out;
}

}  // namespace dino
