// SPDX-License-Identifier: Apache-2.0
#include "kernels/tokens.hpp"

#include "base/error.hpp"
#include "kernels/check.hpp"

namespace dino {

namespace {

void require_layout(char const* operation, TokenLayout const* layout) {
  require(layout != nullptr, ExitCode::bug, "{}: layout is missing", operation);
}

/// Registers are the tokens of the prefix but the class token; a mask is whole or missing.
template <class Registers, class MaskToken>
void require_extra_tokens(char const* operation, Segment const& segment, std::int64_t width,
                          Registers const& registers, MaskToken const& mask_token,
                          View<std::uint8_t const, 1> masked) {
  require(segment.prefix >= 1, ExitCode::bug, "{}: a segment has no class token", operation);
  require_extents_or_none(operation, "registers", registers, {segment.prefix - 1, width});
  require(segment.prefix == 1 || segment.images == 0 || !registers.empty(), ExitCode::bug,
          "{}: {} registers are missing", operation, segment.prefix - 1);
  require_extents_or_none(operation, "masked", masked, {segment.images * segment.patches()});
  if (!masked.empty()) require_extents(operation, "mask_token", mask_token, {width});
}

/// Side of the square grid that `positions` rows (class token and grid) stand for.
std::int64_t grid_side(char const* operation, std::int64_t positions, std::int64_t side) {
  require(positions == 1 + side * side, ExitCode::bug, "{}: {} positions are not 1 + {} x {}",
          operation, positions, side, side);
  return side;
}

}  // namespace

void TokenLayout::add(std::int64_t images, std::int64_t grid_height, std::int64_t grid_width,
                      std::int64_t prefix) {
  require(images >= 0 && grid_height >= 1 && grid_width >= 1 && prefix >= 0, ExitCode::bug,
          "TokenLayout: cannot add {} images of {} x {} patches with {} tokens before", images,
          grid_height, grid_width, prefix);
  segments_.push_back({.images = images,
                       .grid_height = grid_height,
                       .grid_width = grid_width,
                       .prefix = prefix,
                       .first_row = rows_,
                       .first_image = images_});
  rows_ += segments_.back().rows();
  images_ += images;
}

template <class T>
void PatchGather<T>::check() const {
  require(patch_size >= 1, ExitCode::bug, "PatchGather: patch size is {}", patch_size);
  require_extents("PatchGather", "images", images, images.extents());
  auto const count =
      images.extent(0) * (images.extent(2) / patch_size) * (images.extent(3) / patch_size);
  require_extents("PatchGather", "patches", patches,
                  {count, images.extent(1) * patch_size * patch_size});
}

template <class T>
void TokensAssemble<T>::check() const {
  auto const width = tokens.extent(1);
  require_extra_tokens("TokensAssemble", segment, width, registers, mask_token, masked);
  require_extents("TokensAssemble", "tokens", tokens, {segment.rows(), width});
  require_extents("TokensAssemble", "patches", patches,
                  {segment.images * segment.patches(), width});
  require_extents("TokensAssemble", "class_token", class_token, {width});
  require_extents_or_none("TokensAssemble", "positions", positions, {1 + segment.patches(), width});
}

template <class T>
void TokensAssembleBackward<T>::check() const {
  auto const width = dtokens.extent(1);
  require_extra_tokens("TokensAssembleBackward", segment, width, dregisters, dmask_token, masked);
  require_extents("TokensAssembleBackward", "dtokens", dtokens, {segment.rows(), width});
  require_extents("TokensAssembleBackward", "dpatches", dpatches,
                  {segment.images * segment.patches(), width});
  require_extents("TokensAssembleBackward", "dclass_token", dclass_token, {width});
  require_extents_or_none("TokensAssembleBackward", "dpositions", dpositions,
                          {1 + segment.patches(), width});
}

template <class T>
void PositionResample<T>::check() const {
  auto const width = positions.extent(1);
  auto const side = grid_side("PositionResample", positions.extent(0), rows.extent(1));
  require_extents("PositionResample", "positions", positions, {1 + side * side, width});
  require_extents("PositionResample", "rows", rows, {rows.extent(0), side});
  require_extents("PositionResample", "columns", columns, {columns.extent(0), side});
  require_extents("PositionResample", "out", out, {1 + rows.extent(0) * columns.extent(0), width});
}

void PositionResampleBackward::check() const {
  auto const width = dpositions.extent(1);
  auto const side = grid_side("PositionResampleBackward", dpositions.extent(0), rows.extent(1));
  require_extents("PositionResampleBackward", "dpositions", dpositions, {1 + side * side, width});
  require_extents("PositionResampleBackward", "rows", rows, {rows.extent(0), side});
  require_extents("PositionResampleBackward", "columns", columns, {columns.extent(0), side});
  require_extents("PositionResampleBackward", "dout", dout,
                  {1 + rows.extent(0) * columns.extent(0), width});
}

template <class T>
void ClassTokenGather<T>::check() const {
  require_layout("ClassTokenGather", layout);
  auto const width = tokens.extent(1);
  require_extents("ClassTokenGather", "tokens", tokens, {layout->rows(), width});
  require_extents("ClassTokenGather", "rows", rows, {layout->images(), width});
}

template <class T>
void ClassTokenScatter<T>::check() const {
  require_layout("ClassTokenScatter", layout);
  auto const width = tokens.extent(1);
  require_extents("ClassTokenScatter", "tokens", tokens, {layout->rows(), width});
  require_extents("ClassTokenScatter", "rows", rows, {layout->images(), width});
}

template struct PatchGather<float>;
template struct PatchGather<bfloat16>;
template struct TokensAssemble<float>;
template struct TokensAssemble<bfloat16>;
template struct TokensAssembleBackward<float>;
template struct TokensAssembleBackward<bfloat16>;
template struct PositionResample<float>;
template struct PositionResample<bfloat16>;
template struct ClassTokenGather<float>;
template struct ClassTokenGather<bfloat16>;
template struct ClassTokenScatter<float>;
template struct ClassTokenScatter<bfloat16>;

}  // namespace dino
