// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "kernels/tokens.hpp"

namespace dino {

/// By the angles θ, or back: the transpose, which backward applies to gradients.
enum class Rotation { forward, backward };

/// Axial rotary positions: q and k of the patch tokens are rotated where they lie; the tokens of
/// the prefix and v stay. For a head's channels c < d/2, with the d/4 angles of the row of the
/// patch and then the d/4 of its column as θ_c:
///   out_c = v_c cos θ_c - v_{c+d/2} sin θ_c,   out_{c+d/2} = v_{c+d/2} cos θ_c + v_c sin θ_c.
/// Source: Su et al. 2021, arXiv:2104.09864, sec. 3.2; method.md 1.5.
template <class T>
struct RopeRotate {
  View<T, 2> qkv;  ///< [rows, 3 D]: q, k, v blocks, head-major inside each; overwritten
  TokenLayout const* layout = nullptr;
  std::int64_t heads = 1;
  /// [rope_table_size]: for each segment [grid_height + grid_width, 2, d/4], the cosines and the
  /// sines of every row of its grid, then of every column.
  View<float const, 1> table;
  Rotation rotation = Rotation::forward;
  void check() const;  ///< \throws Error where extents disagree or d is no multiple of 4
};

/// Values of the table that RopeRotate takes for this layout.
std::int64_t rope_table_size(TokenLayout const& layout, std::int64_t head_dim);

template <class T>
void execute(Host const& host, RopeRotate<T> const& op);
template <class T>
void execute(Cuda const& cuda, RopeRotate<T> const& op);

}  // namespace dino
