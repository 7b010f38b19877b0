// SPDX-License-Identifier: Apache-2.0
#include "train/gram_term.hpp"

#include <numeric>

#include "kernels/elementwise.hpp"
#include "kernels/residual.hpp"
#include "train/token_rows.hpp"

namespace dino::train {
namespace {

using Indices = std::vector<std::int32_t>;

/// Masked patches, then the others, each in rising order.
Indices masked_first(std::int64_t patches, CollatedMasks const* masks) {
  Indices order;
  if (masks == nullptr) {
    order.resize(static_cast<std::size_t>(patches));
    std::iota(order.begin(), order.end(), 0);
    return order;
  }
  for (auto const i : masks->indices) order.push_back(static_cast<std::int32_t>(i));
  for (std::int64_t i = 0; i < patches; ++i) {
    if (masks->masks[static_cast<std::size_t>(i)] == 0)
      order.push_back(static_cast<std::int32_t>(i));
  }
  return order;
}

Indices inverse(Indices const& order, std::int64_t size) {
  Indices place(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < order.size(); ++i)
    place[static_cast<std::size_t>(order[i])] = static_cast<std::int32_t>(i);
  return place;
}

}  // namespace

template <class T>
GramTerm<T>::GramTerm(Space const& space, shard::ShardGroups const& groups,
                      shard::Strategy const& strategy, VitShape const& shape,
                      GramObjective const& objective)
    : space_(space),
      objective_(objective),
      loss_(space, objective.loss),
      resize_(space, objective.resize) {
  if (!objective.ema_teacher)
    teacher_.emplace(space, groups, strategy, shape, objective.life_cycle);
}

template <class T>
GramPatches GramTerm<T>::patches(Arena& arena, PatchGrid grid, std::int64_t crops,
                                 CollatedMasks const* masks) const {
  GramPatches out{.grid = grid, .crops = crops};
  auto const all = crops * grid.patches();
  out.masked = masks == nullptr ? 0 : static_cast<std::int64_t>(masks->indices.size());
  out.order = masked_first(all, masks);
  out.rows = to_space(space_, arena, out.order);
  out.place = to_space(space_, arena, inverse(out.order, all));
  return out;
}

/// Which of the patches, in the step's order, are compared.
template <class T>
Share GramTerm<T>::share(GramPatches const& patches) const {
  auto const all = patches.rows.extent(0);
  switch (objective_.tokens) {
    case GramTokens::masked:
      return {0, patches.masked};
    case GramTokens::unmasked:
      return {patches.masked, all};
    case GramTokens::all:
      break;
  }
  return {0, objective_.level == GramLevel::image ? patches.place.extent(0) : all};
}

template <class T>
void GramTerm<T>::take(Arena& arena, GramPatches const& patches, View<T const, 2> features,
                       View<float, 2> out) const {
  auto const compared = share(patches);
  if (objective_.level == GramLevel::batch)
    return run(space_, Cast<T, float>{.x = features.rows(compared.begin, compared.end).flat(),
                                      .y = out.flat()});
  ArenaScope const scope(arena);
  auto const by_crop = arena.take<T, 2>(out.extents());
  run(space_, RowGather<T>{.x = features, .rows = patches.place, .y = by_crop});
  run(space_, Cast<T, float>{.x = by_crop.flat(), .y = out.flat()});
}

template <class T>
void GramTerm<T>::teacher_features(Arena& arena, GramPatches const& patches, ImageView crops,
                                   View<float, 2> out) {
  ArenaScope const scope(arena);
  auto& backbone = teacher_->backbone();
  auto const tokens = backbone.forward(arena, std::span(&crops, 1), {}, Keep::no);
  auto const segment = backbone.layout().segments().front();
  auto const all = masked_first(segment.images * segment.patches(), nullptr);
  Indices rows;
  add_patch_rows(backbone.layout(), std::span<std::int32_t const>(all), rows);
  auto const groups = row_groups(0, 0, std::ssize(rows));
  auto const features = backbone.normalize(
      arena, backbone.gather_rows(arena, tokens, to_space(space_, arena, rows)), Keep::no, groups);
  PatchGrid const grid{segment.grid_height, segment.grid_width};
  if (objective_.level == GramLevel::image)
    return resize_(View<T const, 2>(features), grid, patches.grid, out);
  auto const resized =
      arena.take<float, 2>({patches.crops * patches.grid.patches(), features.extent(1)});
  resize_(View<T const, 2>(features), grid, patches.grid, resized);
  auto const compared = share(patches);
  run(space_, RowGather<float>{
                  .x = resized, .rows = patches.rows.rows(compared.begin, compared.end), .y = out});
}

template <class T>
void GramTerm<T>::add(Arena& arena, Communicator const& world, View<float const, 2> student,
                      View<float const, 2> teacher, std::int64_t patches_of_a_crop,
                      std::int64_t global_crops, double weight, View<float, 2> gradient) {
  if (objective_.level == GramLevel::batch)
    return loss_.add_batch(arena, world, student, teacher, weight, gradient);
  loss_.add_crops(arena, student, teacher, patches_of_a_crop, global_crops, weight, gradient);
}

template <class T>
void GramTerm<T>::give_back(Arena& arena, GramPatches const& patches, View<float const, 2> gradient,
                            View<T, 2> dfeatures) const {
  ArenaScope const scope(arena);
  auto const compared = share(patches);
  auto const converted = arena.take<T, 2>(gradient.extents());
  run(space_, Cast<float, T>{.x = gradient.flat(), .y = converted.flat()});
  if (objective_.level == GramLevel::batch)
    return run(space_, Axpy<T>{.a = 1,
                               .x = converted.flat(),
                               .y = dfeatures.rows(compared.begin, compared.end).flat()});
  run(space_, RowScatterAdd<T>{.x = converted, .rows = patches.place, .y = dfeatures});
}

template class GramTerm<float>;
template class GramTerm<bfloat16>;

}  // namespace dino::train
