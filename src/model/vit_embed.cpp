// SPDX-License-Identifier: Apache-2.0
// Patch and position embeddings of the ViT (method.md 1.3, 1.4).
#include "kernels/elementwise.hpp"
#include "kernels/gemm.hpp"
#include "model/vit.hpp"

namespace dino {

using shard::Pass;
using shard::UnitView;

template <class T>
View<T, 2> Vit<T>::embed(Arena& arena, std::span<ImageView const> images) {
  auto const tokens = arena.take<T, 2>({layout_.rows(), shape_.embed_dim});
  ArenaScope const scope(arena);
  auto const p = store_.gather(first_unit_, Pass::forward);
  for (std::size_t i = 0; i < images.size(); ++i) {
    ArenaScope const group(arena);
    auto const& segment = layout_.segments()[i];
    auto const n = segment.images * segment.patches();
    auto const patches = arena.take<T, 2>({n, shape_.patch_values()});
    auto const embedded = arena.take<T, 2>({n, shape_.embed_dim});
    run(space_,
        PatchGather<T>{.images = images[i], .patches = patches, .patch_size = shape_.patch_size});
    run(space_, LinearForward<T>{.x = patches,
                                 .weight = p.matrix("patch_embed.proj.weight"),
                                 .bias = p.vector("patch_embed.proj.bias"),
                                 .y = embedded});
    View<T const, 2> positions;
    if (!shape_.rope) positions = resampled(arena, p, images[i].extent(2), images[i].extent(3));
    run(space_, TokensAssemble<T>{
                    .patches = embedded,
                    .class_token = p.vector("cls_token"),
                    .registers = p.matrix_of(shape_.register_name, shape_.registers),
                    .mask_token = p.vector("mask_token"),
                    .masked = mask_of(i).flat(),
                    .positions = positions,
                    .segment = segment,
                    .tokens = tokens.rows(segment.first_row, segment.first_row + segment.rows())});
  }
  store_.release(first_unit_, Pass::forward);
  return tokens;
}

template <class T>
void Vit<T>::embed_backward(Arena& arena, std::span<ImageView const> images,
                            View<T const, 2> dtokens, typename Store::Last last) {
  auto const g = store_.gradient(first_unit_);
  for (std::size_t i = 0; i < images.size(); ++i) {
    ArenaScope const group(arena);
    auto const& segment = layout_.segments()[i];
    auto const n = segment.images * segment.patches();
    auto const patches = arena.take<T, 2>({n, shape_.patch_values()});
    auto const dembedded = arena.take<T, 2>({n, shape_.embed_dim});
    View<float, 2> dpositions;
    if (!shape_.rope) dpositions = arena.take<float, 2>({1 + segment.patches(), shape_.embed_dim});
    run(space_,
        PatchGather<T>{.images = images[i], .patches = patches, .patch_size = shape_.patch_size});
    run(space_, TokensAssembleBackward<T>{
                    .dtokens = dtokens.rows(segment.first_row, segment.first_row + segment.rows()),
                    .masked = mask_of(i).flat(),
                    .segment = segment,
                    .dpatches = dembedded,
                    .dclass_token = g.vector("cls_token"),
                    .dregisters = g.matrix_of(shape_.register_name, shape_.registers),
                    .dmask_token = g.vector("mask_token"),
                    .dpositions = dpositions});
    run(space_, LinearBackwardWeight<T>{.x = patches,
                                        .dy = dembedded,
                                        .dweight = g.matrix("patch_embed.proj.weight"),
                                        .dbias = g.vector("patch_embed.proj.bias")});
    if (dpositions) positions_backward(images[i], dpositions, g.vector("pos_embed"));
  }
  store_.reduce(first_unit_, last);
}

/// Adds the gradient of the positions that images of one size got to that of the learned ones.
template <class T>
void Vit<T>::positions_backward(ImageView images, View<float const, 2> dpositions,
                                View<float, 1> dlearned) {
  auto const height = images.extent(2), width = images.extent(3), p = shape_.patch_size;
  if (trained_grid(height, width)) {
    return run(space_, Axpy<float>{.a = 1, .x = dpositions.flat(), .y = dlearned});
  }
  auto const& weights = resampling(height / p, width / p);
  run(space_, PositionResampleBackward{.dout = dpositions,
                                       .rows = weights.rows,
                                       .columns = weights.columns,
                                       .dpositions = dlearned.template reshaped<2>(
                                           {1 + shape_.grid * shape_.grid, shape_.embed_dim})});
}

/// Positions are used unchanged for square images of the trained number of patches.
template <class T>
bool Vit<T>::trained_grid(std::int64_t height, std::int64_t width) const {
  auto const patches = (height / shape_.patch_size) * (width / shape_.patch_size);
  return height == width && patches == shape_.grid * shape_.grid;
}

template <class T>
auto Vit<T>::resampling(std::int64_t grid_height, std::int64_t grid_width) -> Resampling const& {
  auto& found = resamplings_[{grid_height, grid_width}];
  if (found.rows) return found;
  auto const m = shape_.grid;
  found.memory =
      Buffer(space_, (grid_height + grid_width) * m * static_cast<std::int64_t>(sizeof(float)));
  auto const all = found.memory.template as<float>();
  found.rows = all.rows(0, grid_height * m).template reshaped<2>({grid_height, m});
  found.columns = all.rows(grid_height * m, all.size()).template reshaped<2>({grid_width, m});
  auto const rows = position_weights(m, grid_height, shape_.interpolation);
  auto const columns = position_weights(m, grid_width, shape_.interpolation);
  copy_to_space(space_, found.rows, std::span<float const>(rows));
  copy_to_space(space_, found.columns, std::span<float const>(columns));
  return found;
}

template <class T>
View<T, 2> Vit<T>::resampled(Arena& arena, UnitView<T const> const& parameters, std::int64_t height,
                             std::int64_t width) {
  auto const grid = View<T const, 2>{parameters.vector("pos_embed").data(),
                                     {1 + shape_.grid * shape_.grid, shape_.embed_dim}};
  auto const grid_height = height / shape_.patch_size;
  auto const grid_width = width / shape_.patch_size;
  auto const out = arena.take<T, 2>({1 + grid_height * grid_width, shape_.embed_dim});
  if (trained_grid(height, width)) {
    run(space_, Cast<T, T>{.x = grid.flat(), .y = out.flat()});
  } else {
    auto const& weights = resampling(grid_height, grid_width);
    run(space_,
        PositionResample<T>{
            .positions = grid, .rows = weights.rows, .columns = weights.columns, .out = out});
  }
  return out;
}

template <class T>
View<T, 2> Vit<T>::positions(Arena& arena, std::int64_t height, std::int64_t width) {
  auto const p = store_.gather(first_unit_, Pass::forward);
  auto const out = resampled(arena, p, height, width);
  store_.release(first_unit_, Pass::forward);
  return out;
}

template class Vit<float>;
template class Vit<bfloat16>;

}  // namespace dino
