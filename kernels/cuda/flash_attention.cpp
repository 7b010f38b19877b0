// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/flash_attention.hpp"

namespace dino::cuda {
namespace {

/// The tensors of attention over one segment.
class Builder {
 public:
  explicit Builder(FlashShape const& s)
      : s_(s),
        matrix_{s.images, s.heads, s.tokens, s.head_dim},
        packed_{3 * s.heads * s.head_dim * s.tokens, s.head_dim, 3 * s.heads * s.head_dim, 1},
        whole_{s.heads * s.head_dim * s.tokens, s.head_dim, s.heads * s.head_dim, 1} {}

  Graph forward();
  Graph backward();

 private:
  using Extents = std::vector<std::int64_t>;

  std::size_t operand(FlashOperand which, Extents const& extents, Extents const& strides,
                      cudnnDataType_t type = CUDNN_DATA_BFLOAT16) {
    return graph_.tensor({extents, strides, type, static_cast<std::int64_t>(which)});
  }
  std::size_t packed(FlashOperand which) { return operand(which, matrix_, packed_); }
  std::size_t whole(FlashOperand which) { return operand(which, matrix_, whole_); }
  std::size_t transposed(FlashOperand which) {
    return operand(which, swapped(matrix_), swapped(packed_));
  }
  std::size_t rows(FlashOperand which) {
    return operand(which, row_extents(), row_strides(), CUDNN_DATA_FLOAT);
  }
  std::size_t value(FlashOperand which) {
    return graph_.tensor(
        {{1, 1, 1, 1}, {1, 1, 1, 1}, CUDNN_DATA_FLOAT, static_cast<std::int64_t>(which), true});
  }
  /// A tensor within the graph.
  std::size_t inner(Extents const& extents, Extents const& strides,
                    cudnnDataType_t type = CUDNN_DATA_FLOAT) {
    return graph_.tensor({extents, strides, type});
  }
  std::size_t scores() { return inner(score_extents(), score_strides()); }
  /// y = mode(x, b), a matrix of scores.
  std::size_t scores(cudnnPointwiseMode_t mode, std::size_t x, std::optional<std::size_t> b) {
    auto const y = scores();
    graph_.pointwise(mode, x, b, y);
    return y;
  }
  /// Scores as the left factor of a product over the queries: transposed, in bfloat16.
  std::size_t scores_transposed(std::size_t x) {
    auto const y = inner(score_extents(), swapped(score_strides()), CUDNN_DATA_BFLOAT16);
    graph_.reshape(x, y);
    return y;
  }
  std::size_t row_sums_of_products(std::size_t dout);
  void query_gradient(std::size_t dscores, std::size_t keys_transposed);

  static Extents swapped(Extents e) {
    std::swap(e[2], e[3]);
    return e;
  }
  Extents row_extents() const { return {s_.images, s_.heads, s_.tokens, 1}; }
  Extents row_strides() const { return {s_.heads * s_.tokens, s_.tokens, 1, 1}; }
  Extents score_extents() const { return {s_.images, s_.heads, s_.tokens, s_.tokens}; }
  Extents score_strides() const {
    auto const n = s_.tokens;
    return {s_.heads * n * n, n * n, n, 1};
  }

  FlashShape s_;
  Extents matrix_;          ///< [images, heads, tokens, head_dim]
  Extents packed_, whole_;  ///< strides in [rows, 3 D] and [rows, D]
  Graph graph_;
};

Graph Builder::forward() {
  graph_.attention({.q = packed(FlashOperand::q),
                    .k = packed(FlashOperand::k),
                    .v = packed(FlashOperand::v),
                    .o = whole(FlashOperand::o),
                    .statistics = rows(FlashOperand::statistics),
                    .scale = value(FlashOperand::scale)});
  return std::move(graph_);
}

/// delta = row sums of o do; cuDNN looks for the product with a value behind it (of dropout).
std::size_t Builder::row_sums_of_products(std::size_t dout) {
  auto const o = whole(FlashOperand::o), one = value(FlashOperand::one);
  auto const products = inner(matrix_, whole_);
  auto const sums = inner(row_extents(), row_strides());
  auto const delta = rows(FlashOperand::row_sums);
  graph_.pointwise(CUDNN_POINTWISE_MUL, dout, o, products);
  graph_.sum(products, sums);
  graph_.pointwise(CUDNN_POINTWISE_MUL, sums, one, delta);
  return delta;
}

/// dq = dscores k.
void Builder::query_gradient(std::size_t dscores, std::size_t keys_transposed) {
  auto const keys = inner(matrix_, packed_, CUDNN_DATA_BFLOAT16);
  graph_.reshape(keys_transposed, keys);
  auto const dq = packed(FlashOperand::dq);
  if (s_.pass == FlashPass::backward) {
    graph_.matmul(dscores, keys, dq);
    return;
  }
  auto const plane = s_.tokens * s_.head_dim;
  auto const accumulator = operand(FlashOperand::dq_accumulator, matrix_,
                                   {s_.heads * plane, plane, s_.head_dim, 1}, CUDNN_DATA_FLOAT);
  graph_.matmul(dscores, keys, accumulator);
  graph_.pointwise(CUDNN_POINTWISE_IDENTITY, accumulator, std::nullopt, dq);
}

// p = exp(scale q kᵀ - statistics); dv = pᵀ do; ds = scale p (do vᵀ - delta); dk = dsᵀ q;
// dq = ds k.
Graph Builder::backward() {
  auto const q = packed(FlashOperand::q), keys = transposed(FlashOperand::k),
             values = transposed(FlashOperand::v), dout = whole(FlashOperand::dout);
  auto const statistics = rows(FlashOperand::statistics), scale = value(FlashOperand::scale);
  auto const delta = row_sums_of_products(dout);

  auto const products = scores();
  graph_.matmul(q, keys, products);
  auto const scaled = scores(CUDNN_POINTWISE_MUL, products, scale);
  auto const shifted = scores(CUDNN_POINTWISE_SUB, scaled, statistics);
  auto const p = scores(CUDNN_POINTWISE_EXP, shifted, std::nullopt);
  graph_.matmul(scores_transposed(p), dout, packed(FlashOperand::dv));

  auto const dp = scores();
  graph_.matmul(dout, values, dp);
  auto const centred = scores(CUDNN_POINTWISE_SUB, dp, delta);
  auto const weighted = scores(CUDNN_POINTWISE_MUL, centred, p);
  auto const dscores = scores(CUDNN_POINTWISE_MUL, weighted, scale);
  graph_.matmul(scores_transposed(dscores), q, packed(FlashOperand::dk));
  query_gradient(dscores, keys);
  return std::move(graph_);
}

}  // namespace

Graph flash_graph(FlashShape const& shape, cudnnHandle_t handle) {
  Builder builder(shape);
  auto graph = shape.pass == FlashPass::forward ? builder.forward() : builder.backward();
  graph.finish(handle);
  return graph;
}

}  // namespace dino::cuda
