// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/space.hpp"

namespace dino {

/// Images of one size within the packed token matrix: their tokens are consecutive, image after
/// image, and within an image [prefix (class token, registers), patches row by row].
struct Segment {
  std::int64_t images = 0;
  std::int64_t grid_height = 0, grid_width = 0;  ///< in patches
  std::int64_t prefix = 1;                       ///< tokens before the patches
  std::int64_t first_row = 0;                    ///< row of the packed matrix
  std::int64_t first_image = 0;                  ///< number of images in the segments before

  std::int64_t patches() const { return grid_height * grid_width; }
  std::int64_t tokens() const { return prefix + patches(); }  ///< per image
  std::int64_t rows() const { return images * tokens(); }
};

/// The segments of a packed token matrix [rows, D]: block-diagonal attention at no masking cost.
class TokenLayout {
 public:
  TokenLayout() = default;
  /// Appends `images` images of one grid.
  void add(std::int64_t images, std::int64_t grid_height, std::int64_t grid_width,
           std::int64_t prefix = 1);
  std::vector<Segment> const& segments() const { return segments_; }
  std::int64_t rows() const { return rows_; }
  std::int64_t images() const { return images_; }

 private:
  std::vector<Segment> segments_;
  std::int64_t rows_ = 0;
  std::int64_t images_ = 0;
};

/// Patches of images as rows for the patch embedding: columns [channel, row, column] of the patch;
/// pixels beyond the last whole patch are dropped. Source: method.md 1.3.
template <class T>
struct PatchGather {
  View<float const, 4> images;  ///< [n, C, H, W]
  View<T, 2> patches;           ///< [n * (H/p) * (W/p), C p p]
  std::int64_t patch_size = 16;
  void check() const;
};

/// One segment's tokens: the class token and each patch embedding plus their positions; registers,
/// which have none, between them. The embedding of a masked patch is replaced by the mask token
/// before its position is added. Without positions (DINOv3's are rotations, see RopeRotate) the
/// class token and the embeddings are taken as they are. Source: method.md 1.3.
template <class T>
struct TokensAssemble {
  View<T const, 2> patches;      ///< [images * patches, D]
  View<T const, 1> class_token;  ///< [D]
  View<T const, 2> registers;    ///< [segment.prefix - 1, D]
  View<T const, 1> mask_token;   ///< [D]; needed where there are masks
  /// [images * patches], 1: masked; or empty: none is.
  View<std::uint8_t const, 1> masked;
  View<T const, 2> positions;  ///< [1 + patches, D], for this segment's grid; or empty: none
  Segment segment;
  View<T, 2> tokens;  ///< [segment.rows(), D]
  void check() const;
};

/// Gradients of TokensAssemble.
template <class T>
struct TokensAssembleBackward {
  View<T const, 2> dtokens;  ///< [segment.rows(), D]
  View<std::uint8_t const, 1> masked;
  Segment segment;
  View<T, 2> dpatches;          ///< [images * patches, D], overwritten; 0 where masked
  View<float, 1> dclass_token;  ///< [D], added to
  View<float, 2> dregisters;    ///< [segment.prefix - 1, D], added to
  View<float, 1> dmask_token;   ///< [D], added to; needed where there are masks
  View<float, 2> dpositions;    ///< [1 + patches, D], overwritten; or empty: none
  void check() const;
};

/// Resampling of the square grid of learned positions: out = A grid Bᵀ for every channel, row 0
/// (the class token's) is copied. A and B hold the bicubic weights. Source: method.md 1.4.
template <class T>
struct PositionResample {
  View<T const, 2> positions;    ///< [1 + M M, D]
  View<float const, 2> rows;     ///< [h, M], A
  View<float const, 2> columns;  ///< [w, M], B
  View<T, 2> out;                ///< [1 + h w, D]
  void check() const;
};

/// The transpose of PositionResample: dpositions += .
struct PositionResampleBackward {
  View<float const, 2> dout;     ///< [1 + h w, D]
  View<float const, 2> rows;     ///< [h, M]
  View<float const, 2> columns;  ///< [w, M]
  View<float, 2> dpositions;     ///< [1 + M M, D], added to
  void check() const;
};

/// Row `first_row + i * tokens()` (the class token) of every image of every segment.
template <class T>
struct ClassTokenGather {
  View<T const, 2> tokens;  ///< [layout.rows(), D]
  TokenLayout const* layout = nullptr;
  View<T, 2> rows;  ///< [layout.images(), D]
  void check() const;
};

/// The transpose: tokens = 0 except the class tokens' rows.
template <class T>
struct ClassTokenScatter {
  View<T const, 2> rows;  ///< [layout.images(), D]
  TokenLayout const* layout = nullptr;
  View<T, 2> tokens;  ///< [layout.rows(), D], overwritten
  void check() const;
};

template <class T>
void execute(Host const& host, PatchGather<T> const& op);
template <class T>
void execute(Cuda const& cuda, PatchGather<T> const& op);
template <class T>
void execute(Host const& host, TokensAssemble<T> const& op);
template <class T>
void execute(Cuda const& cuda, TokensAssemble<T> const& op);
template <class T>
void execute(Host const& host, TokensAssembleBackward<T> const& op);
template <class T>
void execute(Cuda const& cuda, TokensAssembleBackward<T> const& op);
template <class T>
void execute(Host const& host, PositionResample<T> const& op);
template <class T>
void execute(Cuda const& cuda, PositionResample<T> const& op);
void execute(Host const& host, PositionResampleBackward const& op);
void execute(Cuda const& cuda, PositionResampleBackward const& op);
template <class T>
void execute(Host const& host, ClassTokenGather<T> const& op);
template <class T>
void execute(Cuda const& cuda, ClassTokenGather<T> const& op);
template <class T>
void execute(Host const& host, ClassTokenScatter<T> const& op);
template <class T>
void execute(Cuda const& cuda, ClassTokenScatter<T> const& op);

}  // namespace dino
