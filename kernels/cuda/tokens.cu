// SPDX-License-Identifier: Apache-2.0
// Patches to tokens; positions on other grids and class tokens are in positions.cu.
#include "kernels/cuda/column_sums.cuh"
#include "kernels/tokens.hpp"

namespace dino {
namespace {

template <class T>
struct PatchRows {
  float const* images;  ///< [n, C, H, W]
  T* patches;
  std::int64_t p, channels, height, width;

  struct Line {
    float const* corner;  ///< the patch's first pixel of the first channel
    T* out;
  };
  __device__ Line line(std::int64_t row) const {
    auto const across = width / p, per_image = (height / p) * across;
    auto const top = row % per_image / across * p, left = row % per_image % across * p;
    return {images + row / per_image * channels * height * width + top * width + left,
            patches + row * channels * p * p};
  }
  template <int N>
  __device__ void at(Line const& line, std::int64_t d) const {
    auto const channel = d / (p * p), i = d % (p * p) / p, j = d % p;
    float v[N];
    cuda::load<N>(line.corner + (channel * height + i) * width + j, v);
    cuda::store<N>(line.out + d, v);
  }
};

template <class T>
struct TokenRows {
  T const *patches, *class_token, *registers, *mask_token;
  std::uint8_t const* masked;  ///< null: none is
  T const* positions;          ///< null: none
  T* tokens;
  std::int64_t width, per_image, patches_of_image, prefix;

  struct Line {
    T const *content, *position;  ///< position null: content is taken as it is
    T* out;
  };
  __device__ Line line(std::int64_t row) const {
    auto const image = row / per_image, token = row % per_image;
    auto* const out = tokens + row * width;
    if (token > 0 && token < prefix) return {registers + (token - 1) * width, nullptr, out};
    auto const patch = image * patches_of_image + token - prefix;
    auto const* content = class_token;
    if (token > 0)
      content = masked != nullptr && masked[patch] != 0 ? mask_token : patches + patch * width;
    auto const place = token == 0 ? 0 : token - prefix + 1;
    return {content, positions != nullptr ? positions + place * width : nullptr, out};
  }
  template <int N>
  __device__ void at(Line const& line, std::int64_t d) const {
    if (line.position == nullptr) return cuda::copy<N>(line.content + d, line.out + d);
    float v[N], w[N];
    cuda::load<N>(line.content + d, v);
    cuda::load<N>(line.position + d, w);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] += w[k];
    cuda::store<N>(line.out + d, v);
  }
};

/// Where the gradients of a segment's tokens lie.
template <class T>
struct TokenGradients {
  T const* dtokens;
  std::uint8_t const* masked;  ///< null: none is
  std::int64_t width, per_image, patches_of_image, prefix, images;
  __device__ T const* token(std::int64_t image, std::int64_t token) const {
    return dtokens + (image * per_image + token) * width;
  }
  __device__ T const* patch(std::int64_t patch) const {
    return token(patch / patches_of_image, prefix + patch % patches_of_image);
  }
  __device__ bool is_masked(std::int64_t patch) const {
    return masked != nullptr && masked[patch] != 0;
  }
};

template <class T>
struct PatchGradientRows {
  TokenGradients<T> from;
  T* dpatches;
  struct Line {
    T const* gradient;  ///< null: the patch was masked
    T* out;
  };
  __device__ Line line(std::int64_t row) const {
    return {from.is_masked(row) ? nullptr : from.patch(row), dpatches + row * from.width};
  }
  template <int N>
  __device__ void at(Line const& line, std::int64_t d) const {
    if (line.gradient != nullptr) return cuda::copy<N>(line.gradient + d, line.out + d);
    float const zeros[N] = {};
    cuda::store<N>(line.out + d, zeros);
  }
};

/// Sums over the images of the gradients of the class token (row 0) and of each patch; row 0 is
/// added to the class token's own gradient too.
template <class T>
struct PositionRows {
  TokenGradients<T> from;
  float *dpositions, *dclass_token;
  __device__ std::int64_t line(std::int64_t row) const { return row; }
  template <int N>
  __device__ void at(std::int64_t row, std::int64_t d) const {
    auto const token = row == 0 ? 0 : from.prefix + row - 1;
    float total[N] = {};
    for (std::int64_t image = 0; image < from.images; ++image) {
      float v[N];
      cuda::load<N>(from.token(image, token) + d, v);
#pragma unroll
      for (int k = 0; k < N; ++k) total[k] += v[k];
    }
    cuda::store<N>(dpositions + row * from.width + d, total);
    if (row != 0) return;
    float before[N];
    cuda::load<N>(dclass_token + d, before);
#pragma unroll
    for (int k = 0; k < N; ++k) before[k] += total[k];
    cuda::store<N>(dclass_token + d, before);
  }
};

/// Gradients of one token of every image, as columns.
template <class T>
struct TokenColumns {
  TokenGradients<T> from;
  std::int64_t token;
  template <int N>
  __device__ void at(std::int64_t image, std::int64_t d, float (&v)[1][N]) const {
    cuda::load<N>(from.token(image, token) + d, v[0]);
  }
};

/// Gradients of the masked patches; zeros for the others.
template <class T>
struct MaskColumns {
  TokenGradients<T> from;
  template <int N>
  __device__ void at(std::int64_t patch, std::int64_t d, float (&v)[1][N]) const {
    if (from.is_masked(patch)) return cuda::load<N>(from.patch(patch) + d, v[0]);
#pragma unroll
    for (int k = 0; k < N; ++k) v[0][k] = 0;
  }
};

}  // namespace

template <class T>
void execute(Cuda const& cuda, PatchGather<T> const& op) {
  auto const p = op.patch_size, width = op.images.extent(3);
  PatchRows<T> const rows{op.images.data(),    op.patches.data(),   p,
                          op.images.extent(1), op.images.extent(2), width};
  auto const count = op.patches.extent(0), values = op.patches.extent(1);
  constexpr int n = cuda::pack_size<T>;
  bool const aligned = cuda::aligned(op.images.data(), op.patches.data());
  if (aligned && p % n == 0 && width % n == 0)
    return cuda::for_rows<n>(cuda, count, values, true, rows);
  cuda::for_rows<2>(cuda, count, values, aligned && p % 2 == 0 && width % 2 == 0, rows);
}

template <class T>
void execute(Cuda const& cuda, TokensAssemble<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const width = op.tokens.extent(1);
  auto const* const positions = op.positions.empty() ? nullptr : op.positions.data();
  TokenRows<T> const rows{op.patches.data(),
                          op.class_token.data(),
                          op.registers.data(),
                          op.mask_token.data(),
                          op.masked.empty() ? nullptr : op.masked.data(),
                          positions,
                          op.tokens.data(),
                          width,
                          op.segment.tokens(),
                          op.segment.patches(),
                          op.segment.prefix};
  cuda::for_rows<n>(cuda, op.tokens.extent(0), width,
                    cuda::aligned_rows<n>(width, rows.patches, rows.class_token, rows.registers,
                                          rows.mask_token, positions, rows.tokens),
                    rows);
}

template <class T>
void execute(Cuda const& cuda, TokensAssembleBackward<T> const& op) {
  constexpr int n = cuda::pack_size<T>;
  auto const width = op.dtokens.extent(1), patches = op.segment.patches();
  auto const images = op.segment.images, prefix = op.segment.prefix;
  TokenGradients<T> const from{op.dtokens.data(),
                               op.masked.empty() ? nullptr : op.masked.data(),
                               width,
                               op.segment.tokens(),
                               patches,
                               prefix,
                               images};
  auto const aligned = [&](auto const*... p) {
    return cuda::aligned_rows<n>(width, op.dtokens.data(), p...);
  };
  cuda::for_rows<n>(cuda, images * patches, width, aligned(op.dpatches.data()),
                    PatchGradientRows<T>{from, op.dpatches.data()});
  if (op.dpositions.empty()) {
    cuda::column_sums<1, n, float>(cuda, images, width, aligned(), TokenColumns<T>{from, 0},
                                   cuda::AddToColumns<1>{{op.dclass_token.data()}});
  } else {
    cuda::for_rows<n>(cuda, 1 + patches, width,
                      aligned(op.dpositions.data(), op.dclass_token.data()),
                      PositionRows<T>{from, op.dpositions.data(), op.dclass_token.data()});
  }
  for (std::int64_t i = 0; i < prefix - 1 && !op.dregisters.empty(); ++i) {
    cuda::column_sums<1, n, float>(cuda, images, width, aligned(), TokenColumns<T>{from, 1 + i},
                                   cuda::AddToColumns<1>{{op.dregisters.data() + i * width}});
  }
  if (op.masked.empty()) return;
  cuda::column_sums<1, n, float>(cuda, images * patches, width, aligned(), MaskColumns<T>{from},
                                 cuda::AddToColumns<1>{{op.dmask_token.data()}});
}

template void execute(Cuda const&, PatchGather<float> const&);
template void execute(Cuda const&, PatchGather<bfloat16> const&);
template void execute(Cuda const&, TokensAssemble<float> const&);
template void execute(Cuda const&, TokensAssemble<bfloat16> const&);
template void execute(Cuda const&, TokensAssembleBackward<float> const&);
template void execute(Cuda const&, TokensAssembleBackward<bfloat16> const&);

}  // namespace dino
