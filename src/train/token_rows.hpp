// SPDX-License-Identifier: Apache-2.0
// Lists of rows of the packed tokens.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/arena.hpp"
#include "kernels/tokens.hpp"
#include "model/vit.hpp"

namespace dino::train {

/// Class tokens of every image.
inline void add_class_rows(TokenLayout const& layout, std::vector<std::int32_t>& rows) {
  for (auto const& segment : layout.segments()) {
    for (std::int64_t i = 0; i < segment.images; ++i)
      rows.push_back(static_cast<std::int32_t>(segment.first_row + i * segment.tokens()));
  }
}

/// Patches of the first segment, given by their indices among all of its patches.
template <class Index>
void add_patch_rows(TokenLayout const& layout, std::span<Index const> patches,
                    std::vector<std::int32_t>& rows) {
  auto const& segment = layout.segments().front();
  for (std::int64_t const index : patches) {
    auto const image = index / segment.patches();
    rows.push_back(static_cast<std::int32_t>(segment.first_row + image * segment.tokens() +
                                             segment.prefix + index % segment.patches()));
  }
}

/// Rows of class tokens of global crops, of class tokens of local crops, and of patches.
inline std::array<RowGroup, 3> row_groups(std::int64_t globals, std::int64_t locals,
                                          std::int64_t patches) {
  return {{{globals, TokenKind::prefix},
           {locals, TokenKind::local_prefix},
           {patches, TokenKind::patch}}};
}

template <class U>
View<U const, 1> to_space(Space const& space, Arena& arena, std::vector<U> const& values) {
  auto const there = arena.take<U, 1>({static_cast<std::int64_t>(values.size())});
  copy_to_space(space, there, std::span<U const>(values));
  return there;
}

}  // namespace dino::train
