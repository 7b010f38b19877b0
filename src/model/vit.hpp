// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/arena.hpp"
#include "kernels/norm.hpp"
#include "kernels/rope.hpp"
#include "model/backbone.hpp"
#include "model/positions.hpp"
#include "model/rope.hpp"
#include "shard/store.hpp"

namespace dino {

/// Form of a block's second branch.
enum class Ffn {
  mlp,            ///< fc1, GELU, fc2
  swiglu_packed,  ///< w12 gives gate and linear part, w3 the output
  swiglu,         ///< w1 gives the gate, w2 the linear part, w3 the output
};

enum class Norm { layer, rms };

/// Sizes and options of a vision transformer. Source: Dosovitskiy et al. 2021, arXiv:2010.11929;
/// method.md 1.1 to 1.6.
struct VitShape {
  std::int64_t grid = 14;  ///< M: the learned positions are M x M, where there is no rope
  std::int64_t patch_size = 16;
  std::int64_t channels = 3;
  std::int64_t embed_dim = 384;
  std::int64_t depth = 12;
  std::int64_t num_heads = 6;
  Ffn ffn = Ffn::mlp;
  std::int64_t mlp_hidden = 1536;  ///< width between the layers of the feed-forward branch
  bool qkv_bias = true, proj_bias = true, ffn_bias = true;
  bool mask_k_bias = false;                       ///< the keys' third of qkv.bias counts as zero
  std::int64_t registers = 0;                     ///< tokens without position after the class token
  std::string register_name = "register_tokens";  ///< of their parameter: "storage_tokens" in v3
  bool mask_token = false;                        ///< patches can be masked
  std::optional<float> layer_scale;               ///< first value of LayerScale; unset: none
  float class_token_deviation = 0.02F;            ///< of the class token's first values
  Norm norm = Norm::layer;
  float norm_eps = 1e-6F;
  bool untie_cls_and_patch_norms = false;        ///< cls_norm for the tokens before the patches
  bool untie_global_and_local_cls_norm = false;  ///< local_cls_norm for those of local crops
  std::optional<Rope> rope;                      ///< unset: learned positions
  PositionInterpolation interpolation;           ///< of learned positions
  bool whole_patches = false;  ///< images with a remainder are refused, else it is dropped

  std::int64_t prefix() const { return 1 + registers; }
  std::int64_t head_dim() const { return embed_dim / num_heads; }
  /// Columns that the first layer of the feed-forward branch gives.
  std::int64_t ffn_columns() const { return ffn == Ffn::mlp ? mlp_hidden : 2 * mlp_hidden; }
  std::int64_t patch_values() const { return channels * patch_size * patch_size; }
};

/// The parameter table of a ViT: the embeddings, each block and the final norms are a unit each.
/// Names: method.md 11.1; first values: method.md 1.9.
std::vector<shard::UnitSpec> vit_units(VitShape const& shape, std::string const& prefix);

/// Which patches of images of one size are masked: [n, patches], 1: masked; empty: none.
using MaskView = View<std::uint8_t const, 2>;

/// What is drawn for one forward pass in training, on the host. Nothing is drawn in evaluation.
struct VitDraws {
  /// Not explicit: a view of drop-path factors alone is a draw.
  VitDraws(View<float const, 2> drop_path_factors = {}, View<RopeDraw const, 2> rope_draws = {})
      : drop_path(drop_path_factors), rope(rope_draws) {}
  /// [2 depth, images], factor of each residual branch (attention, MLP of block 0, …); 0: the
  /// branch of this image is not computed; empty: all 1.
  View<float const, 2> drop_path;
  /// [depth, sizes or more], for the images of each size; empty: coordinates stay.
  View<RopeDraw const, 2> rope;
};

/// What tokens are, where the final norms differ. Source: method.md 1.6.
enum class TokenKind {
  prefix,        ///< class and register tokens
  local_prefix,  ///< those of local crops in training
  patch,
};

/// Consecutive rows of one kind.
struct RowGroup {
  std::int64_t rows = 0;
  TokenKind kind = TokenKind::prefix;
};

/// A ViT over packed tokens: forward and explicit backward of the images of all sizes at once.
template <class T>
class Vit : public Backbone<T> {
 public:
  using typename Backbone<T>::Last;

  /// The units of `vit_units` are units first_unit, first_unit + 1, … of the store.
  Vit(Space const& space, VitShape const& shape, shard::ParameterStore<T>& store, int first_unit);

  VitShape const& shape() const { return shape_; }
  std::int64_t dim() const override { return shape_.embed_dim; }
  /// Class tokens after the final norm, in both modes.
  View<T, 2> features(Arena& arena, std::span<ImageView const> images,
                      View<float const, 2> drop_path, Mode mode, Keep keep) override;
  void features_backward(Arena& arena, std::span<ImageView const> images, View<T, 2> dfeatures,
                         Last last) override;
  std::int64_t evaluation_bytes(std::int64_t images, std::int64_t side) const override;
  int norm_unit() const { return first_unit_ + static_cast<int>(shape_.depth) + 1; }

  /// Called after each block with its index and its output [rows, D].
  using BlockObserver = std::function<void(std::int64_t, View<T const, 2>)>;

  /// Tokens after the last block, before the final norm: [rows, D] on the arena. Rows: images of
  /// the first size, then of the second, …; within an image the class token first.
  /// \param masks  one per size, or none at all; they must stay for backward
  /// \throws Error (usage) where the shape wants whole patches and an image has a remainder
  View<T, 2> forward(Arena& arena, std::span<ImageView const> images, VitDraws const& draws,
                     Keep keep, std::span<MaskView const> masks = {},
                     BlockObserver const& observer = {});
  /// Gradients of the parameters from those of the result of `forward` with Keep::yes; `dtokens` is
  /// overwritten.
  void backward(Arena& arena, std::span<ImageView const> images, View<T, 2> dtokens,
                typename shard::ParameterStore<T>::Last last);

  /// The final norm of some rows [R, D] -> [R, D] on the arena.
  /// \param groups  what the rows are, in their order; empty: class or register tokens
  View<T, 2> normalize(Arena& arena, View<T const, 2> rows, Keep keep,
                       std::span<RowGroup const> groups = {});
  /// Gradient with respect to the rows, [R, D]; may alias dy.
  void normalize_backward(View<T const, 2> dy, View<T, 2> drows,
                          typename shard::ParameterStore<T>::Last last);

  /// Some rows of the tokens [m, D], and the transpose: zero elsewhere.
  View<T, 2> gather_rows(Arena& arena, View<T const, 2> tokens,
                         View<std::int32_t const, 1> rows) const;
  View<T, 2> scatter_rows(Arena& arena, View<T const, 2> drows,
                          View<std::int32_t const, 1> rows) const;

  /// Class token rows [images, D], and the transpose.
  View<T, 2> class_tokens(Arena& arena, View<T const, 2> tokens) const;
  View<T, 2> class_tokens_backward(Arena& arena, View<T const, 2> drows) const;

  /// The learned positions [1 + patches, D] that images of this size get.
  View<T, 2> positions(Arena& arena, std::int64_t height, std::int64_t width);
  /// Cosines and sines of a block in the last forward pass, as RopeRotate takes them.
  View<float const, 1> rope_table(std::int64_t block) const;
  /// The softmax matrices of the last block: [images, heads, tokens, tokens] on the arena, after a
  /// forward pass over one size with Keep::yes.
  View<float, 4> last_attention(Arena& arena) const;

  TokenLayout const& layout() const { return layout_; }
  /// The tokens that images of these sizes become.
  TokenLayout make_layout(std::span<ImageView const> images) const;

 private:
  using Store = shard::ParameterStore<T>;
  /// The rows that a residual branch is computed for.
  struct BranchRows {
    TokenLayout layout;                ///< of the images that are left
    View<std::int32_t const, 1> rows;  ///< of the full matrix; null: all
    View<float const, 1> scale;        ///< factor of each row; empty: 1
  };
  /// What backward needs of one residual branch x + s γ f(norm(x)).
  struct BranchKept {
    BranchRows where;
    View<T, 2> x;               ///< full rows
    View<T, 2> norm;            ///< [m, D], norm(x) of the rows
    View<float, 1> mean, rstd;  ///< mean: of a layer norm
    View<T, 2> out;             ///< [m, D], f; backward needs it only where there is LayerScale
  };
  struct BlockKept {
    BranchKept attention, ffn;
    View<T, 2> qkv, heads;          ///< [m, 3 D], [m, D]
    View<float, 2> lse;             ///< [m, heads]
    View<T, 2> hidden, activation;  ///< [m, ffn_columns], [m, mlp_hidden]
  };
  struct NormKept {
    View<T const, 2> x;
    View<float, 1> mean, rstd;
    std::vector<RowGroup> groups;
  };
  /// Bicubic weights of both axes for one grid.
  struct Resampling {
    Buffer memory;
    View<float, 2> rows, columns;
  };

  View<T, 2> embed(Arena& arena, std::span<ImageView const> images);
  void embed_backward(Arena& arena, std::span<ImageView const> images, View<T const, 2> dtokens,
                      typename Store::Last last);
  View<T, 2> block(Arena& arena, std::int64_t index, View<T, 2> x, Keep keep);
  BranchRows branch_rows(Arena& arena, std::int64_t branch) const;
  void enter_branch(Arena& arena, BranchKept& kept, View<T, 2> x, shard::UnitView<T const> const& p,
                    std::string const& norm) const;
  void take_attention(Arena& arena, BlockKept& kept) const;
  void take_ffn(Arena& arena, BlockKept& kept, Keep keep) const;
  void attention_branch(Arena& arena, std::int64_t index, BlockKept const& kept,
                        shard::UnitView<T const> const& p) const;
  void ffn_branch(Arena& arena, BlockKept const& kept, shard::UnitView<T const> const& p) const;
  View<T const, 1> qkv_bias(Arena& arena, shard::UnitView<T const> const& p) const;
  void rotate(View<T, 2> qkv, TokenLayout const& layout, std::int64_t index,
              Rotation rotation) const;
  void take_rope(Arena& arena, View<RopeDraw const, 2> draws);
  void block_backward(Arena& arena, std::int64_t index, View<T, 2> dx, typename Store::Last last);
  void attention_backward(Arena& arena, std::int64_t index, BlockKept const& kept,
                          shard::UnitView<T const> const& p, shard::UnitView<float> const& g,
                          View<T, 2> dbranch, View<T, 2> dnorm) const;
  void ffn_backward(Arena& arena, BlockKept const& kept, shard::UnitView<T const> const& p,
                    shard::UnitView<float> const& g, View<T, 2> dbranch, View<T, 2> dnorm) const;
  void activation_backward(Arena& arena, BlockKept const& kept, shard::UnitView<float> const& g,
                           View<T const, 2> dactivation, View<T, 2> dhidden) const;
  void leave_branch_backward(Arena& arena, BranchKept const& kept,
                             shard::UnitView<T const> const& p, shard::UnitView<float> const& g,
                             std::string const& norm, View<T const, 2> dnorm, View<T, 2> dx) const;
  void norm_forward(shard::UnitView<T const> const& p, std::string const& name, View<T const, 2> x,
                    View<T, 2> y, View<float, 1> mean, View<float, 1> rstd) const;
  void norm_backward(shard::UnitView<T const> const& p, shard::UnitView<float> const& g,
                     std::string const& name, LayerNormBackward<T> const& operands) const;
  /// f(name of the final norm, first row, last row) for each group.
  template <class F>
  void for_norms(std::span<RowGroup const> groups, std::int64_t rows, F const& f) const;
  void positions_backward(ImageView images, View<float const, 2> dpositions,
                          View<float, 1> dlearned);
  View<T, 2> resampled(Arena& arena, shard::UnitView<T const> const& parameters,
                       std::int64_t height, std::int64_t width);
  Resampling const& resampling(std::int64_t grid_height, std::int64_t grid_width);
  bool trained_grid(std::int64_t height, std::int64_t width) const;
  int block_unit(std::int64_t index) const { return first_unit_ + 1 + static_cast<int>(index); }
  std::byte* attention_scratch(Arena& arena, TokenLayout const& layout) const;
  MaskView mask_of(std::size_t group) const { return masks_.empty() ? MaskView{} : masks_[group]; }

  Space space_;
  VitShape shape_;
  Store& store_;
  int first_unit_;
  TokenLayout layout_;
  std::vector<BlockKept> blocks_;
  NormKept norm_;
  View<float const, 2> drop_path_;
  std::vector<double> rope_periods_;
  std::vector<float> rope_staging_;  ///< table of a pass on the host
  View<float, 2> rope_tables_;       ///< [depth, or 1 for all blocks, values]
  std::vector<MaskView> masks_;
  std::map<std::pair<std::int64_t, std::int64_t>, Resampling> resamplings_;
};

}  // namespace dino
