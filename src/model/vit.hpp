// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/arena.hpp"
#include "kernels/tokens.hpp"
#include "model/positions.hpp"
#include "shard/store.hpp"

namespace dino {

/// Sizes and options of a vision transformer. Source: Dosovitskiy et al. 2021, arXiv:2010.11929;
/// method.md 1.1.
struct VitShape {
  std::int64_t grid = 14;  ///< M: the learned positions are M x M
  std::int64_t patch_size = 16;
  std::int64_t channels = 3;
  std::int64_t embed_dim = 384;
  std::int64_t depth = 12;
  std::int64_t num_heads = 6;
  std::int64_t mlp_hidden = 1536;
  bool qkv_bias = true;
  float norm_eps = 1e-6F;
  PositionInterpolation interpolation;

  std::int64_t patch_values() const { return channels * patch_size * patch_size; }
};

/// The parameter table of a ViT: the embeddings, each block and the final norm are a unit each.
/// Names and order: method.md 11.1; first values: method.md 1.9 (v1).
std::vector<shard::UnitSpec> vit_units(VitShape const& shape, std::string const& prefix);

/// Whether what backward needs is kept on the arena.
enum class Keep { no, yes };

/// Images of one size, [n, channels, height, width], normalised.
using ImageView = View<float const, 4>;

/// A ViT over packed tokens: forward and explicit backward of the images of all sizes at once.
template <class T>
class Vit {
 public:
  /// The units of `vit_units` are units first_unit, first_unit + 1, … of the store.
  Vit(Space const& space, VitShape const& shape, shard::ParameterStore<T>& store, int first_unit);

  VitShape const& shape() const { return shape_; }
  int norm_unit() const { return first_unit_ + static_cast<int>(shape_.depth) + 1; }

  /// Called after each block with its index and its output [rows, D].
  using BlockObserver = std::function<void(std::int64_t, View<T const, 2>)>;

  /// Tokens after the last block, before the final norm: [rows, D] on the arena. Rows: images of
  /// the first size, then of the second, …; within an image the class token first.
  /// \param drop_path  [2 depth, images], factor of each residual branch (attention, MLP of block
  /// 0, …); empty: none
  View<T, 2> forward(Arena& arena, std::span<ImageView const> images,
                     View<float const, 2> drop_path, Keep keep, BlockObserver const& observer = {});
  /// Gradients of the parameters from those of the result of `forward` with Keep::yes; `dtokens` is
  /// overwritten.
  void backward(Arena& arena, std::span<ImageView const> images, View<T, 2> dtokens,
                typename shard::ParameterStore<T>::Last last);

  /// The final norm of some rows [R, D] -> [R, D] on the arena.
  View<T, 2> normalize(Arena& arena, View<T const, 2> rows, Keep keep);
  /// Gradient with respect to the rows, [R, D]; may alias dy.
  void normalize_backward(View<T const, 2> dy, View<T, 2> drows,
                          typename shard::ParameterStore<T>::Last last);

  /// Class token rows [images, D], and the transpose.
  View<T, 2> class_tokens(Arena& arena, View<T const, 2> tokens) const;
  View<T, 2> class_tokens_backward(Arena& arena, View<T const, 2> drows) const;

  /// The positions [1 + patches, D] that images of this size get.
  View<T, 2> positions(Arena& arena, std::int64_t height, std::int64_t width);
  /// The softmax matrices of the last block: [images, heads, tokens, tokens] on the arena, after a
  /// forward pass over one size with Keep::yes.
  View<float, 4> last_attention(Arena& arena) const;

  TokenLayout const& layout() const { return layout_; }
  /// The tokens that images of these sizes become.
  TokenLayout make_layout(std::span<ImageView const> images) const;

 private:
  using Store = shard::ParameterStore<T>;
  /// What backward of one block needs.
  struct BlockKept {
    View<T, 2> x_in, norm1, qkv, attention, x_mid, norm2, hidden, gelu;
    View<float, 1> mean1, rstd1, mean2, rstd2;
    View<float, 2> lse;
  };
  struct NormKept {
    View<T const, 2> x;
    View<float, 1> mean, rstd;
  };
  /// Bicubic weights of both axes for one grid.
  struct Resampling {
    Buffer memory;
    View<float, 2> rows, columns;
  };

  View<T, 2> embed(Arena& arena, std::span<ImageView const> images);
  void embed_backward(Arena& arena, std::span<ImageView const> images, View<T const, 2> dtokens,
                      typename Store::Last last);
  void block(Arena& arena, std::int64_t index, BlockKept& kept, View<T, 2> x_out,
             View<float const, 2> drop_path);
  void block_backward(Arena& arena, std::int64_t index, View<T, 2> dx, typename Store::Last last);
  void take_block(Arena& arena, BlockKept& kept, Keep keep) const;
  View<T const, 2> branch_gradient(View<T const, 2> dx, std::int64_t branch,
                                   View<T, 2> scratch) const;
  View<T, 2> resampled(Arena& arena, shard::UnitView<T const> const& parameters,
                       std::int64_t height, std::int64_t width);
  Resampling const& resampling(std::int64_t grid_height, std::int64_t grid_width);
  bool trained_grid(std::int64_t height, std::int64_t width) const;
  int block_unit(std::int64_t index) const { return first_unit_ + 1 + static_cast<int>(index); }
  std::byte* attention_scratch(Arena& arena) const;

  Space space_;
  VitShape shape_;
  Store& store_;
  int first_unit_;
  TokenLayout layout_;
  std::vector<BlockKept> blocks_;
  NormKept norm_;
  View<float const, 2> drop_path_;
  std::map<std::pair<std::int64_t, std::int64_t>, Resampling> resamplings_;
};

}  // namespace dino
