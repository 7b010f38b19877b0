// SPDX-License-Identifier: Apache-2.0
#include "kernels/tokens.hpp"

#include "kernels/host/parallel.hpp"
#include "kernels/host/store.hpp"

namespace dino {

namespace {

/// y = a + b, value by value.
template <class T>
void add_rows(T const* a, T const* b, T* y, std::int64_t width) {
#pragma omp simd
  for (std::int64_t d = 0; d < width; ++d)
    host::store(y[d], static_cast<float>(a[d]) + static_cast<float>(b[d]));
}

/// y += a x in float32.
template <class T>
void add_scaled(float a, T const* x, float* y, std::int64_t width) {
#pragma omp simd
  for (std::int64_t d = 0; d < width; ++d) y[d] += a * static_cast<float>(x[d]);
}

}  // namespace

template <class T>
void execute(Host const&, PatchGather<T> const& op) {
  auto const p = op.patch_size;
  auto const channels = op.images.extent(1), height = op.images.extent(2),
             width = op.images.extent(3);
  auto const across = width / p, per_image = (height / p) * across;
  host::parallel_rows(op.patches.extent(0), [=](std::int64_t row) {
    auto const* const image = op.images.row(row / per_image);
    auto const top = row % per_image / across * p, left = row % per_image % across * p;
    auto* out = op.patches.row(row);
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t i = 0; i < p; ++i, out += p) {
        auto const* const line = image + (c * height + top + i) * width + left;
        for (std::int64_t j = 0; j < p; ++j) host::store(out[j], line[j]);
      }
    }
  });
}

template <class T>
void execute(Host const&, TokensAssemble<T> const& op) {
  auto const width = op.tokens.extent(1), per_image = op.segment.tokens(),
             patches = op.segment.patches(), prefix = op.segment.prefix;
  host::parallel_rows(op.tokens.extent(0), [=](std::int64_t row) {
    auto const image = row / per_image, token = row % per_image;
    auto* const out = op.tokens.row(row);
    if (token > 0 && token < prefix) {
      auto const* const from = op.registers.row(token - 1);
      std::copy(from, from + width, out);
      return;
    }
    auto const patch = image * patches + token - prefix;
    auto const* content = op.class_token.data();
    if (token > 0) {
      bool const masked = !op.masked.empty() && op.masked[patch] != 0;
      content = masked ? op.mask_token.data() : op.patches.row(patch);
    }
    if (op.positions.empty()) {
      std::copy(content, content + width, out);
    } else {
      add_rows(content, op.positions.row(token == 0 ? 0 : token - prefix + 1), out, width);
    }
  });
}

template <class T>
void execute(Host const&, TokensAssembleBackward<T> const& op) {
  auto const width = op.dtokens.extent(1), per_image = op.segment.tokens(),
             patches = op.segment.patches(), prefix = op.segment.prefix;
  auto const images = op.segment.images;
  bool const masks = !op.masked.empty();
  host::parallel_rows(images * patches, [=](std::int64_t row) {
    auto* const out = op.dpatches.row(row);
    auto const* const from = op.dtokens.row(row / patches * per_image + prefix + row % patches);
    if (masks && op.masked[row] != 0) {
      std::fill(out, out + width, T{});
    } else {
      std::copy(from, from + width, out);
    }
  });
  auto const add_over_images = [=](std::int64_t token, float* sum) {
    for (std::int64_t image = 0; image < images; ++image)
      add_scaled(1.0F, op.dtokens.row(image * per_image + token), sum, width);
  };
  if (op.dpositions.empty()) {
    add_over_images(0, op.dclass_token.data());
  } else {
    host::parallel_rows(1 + patches, [=](std::int64_t position) {
      auto* const sum = op.dpositions.row(position);
      std::fill(sum, sum + width, 0.0F);
      add_over_images(position == 0 ? 0 : position - 1 + prefix, sum);
    });
    add_scaled(1.0F, op.dpositions.row(0), op.dclass_token.data(), width);
  }
  if (!op.dregisters.empty()) {
    host::parallel_rows(prefix - 1,
                        [=](std::int64_t i) { add_over_images(1 + i, op.dregisters.row(i)); });
  }
  for (std::int64_t row = 0; masks && row < images * patches; ++row) {
    if (op.masked[row] == 0) continue;
    add_scaled(1.0F, op.dtokens.row(row / patches * per_image + prefix + row % patches),
               op.dmask_token.data(), width);
  }
}

template <class T>
void execute(Host const&, PositionResample<T> const& op) {
  auto const width = op.out.extent(1), side = op.rows.extent(1), across = op.columns.extent(0);
  host::parallel_rows(op.out.extent(0), [=](std::int64_t row) {
    auto* const out = op.out.row(row);
    if (row == 0) {
      std::copy(op.positions.data(), op.positions.data() + width, out);
      return;
    }
    auto const* const a = op.rows.row((row - 1) / across);
    auto const* const b = op.columns.row((row - 1) % across);
    constexpr std::int64_t block = 256;
    for (std::int64_t first = 0; first < width; first += block) {
      auto const count = std::min(block, width - first);
      float sum[block] = {};
      for (std::int64_t i = 0; i < side; ++i) {
        for (std::int64_t j = 0; j < side; ++j) {
          if (float const w = a[i] * b[j]; w != 0) {
            add_scaled(w, op.positions.row(1 + i * side + j) + first, sum, count);
          }
        }
      }
      for (std::int64_t d = 0; d < count; ++d) host::store(out[first + d], sum[d]);
    }
  });
}

void execute(Host const&, PositionResampleBackward const& op) {
  auto const width = op.dpositions.extent(1), side = op.rows.extent(1);
  auto const height = op.rows.extent(0), across = op.columns.extent(0);
  host::parallel_rows(op.dpositions.extent(0), [=](std::int64_t row) {
    auto* const sum = op.dpositions.row(row);
    if (row == 0) return add_scaled(1.0F, op.dout.data(), sum, width);
    auto const i = (row - 1) / side, j = (row - 1) % side;
    for (std::int64_t y = 0; y < height; ++y) {
      float const a = op.rows.row(y)[i];
      if (a == 0) continue;
      for (std::int64_t x = 0; x < across; ++x) {
        float const w = a * op.columns.row(x)[j];
        if (w != 0) add_scaled(w, op.dout.row(1 + y * across + x), sum, width);
      }
    }
  });
}

template <class T>
void execute(Host const&, ClassTokenGather<T> const& op) {
  auto const width = op.tokens.extent(1);
  for (auto const& segment : op.layout->segments()) {
    host::parallel_rows(segment.images, [=](std::int64_t i) {
      auto const* const from = op.tokens.row(segment.first_row + i * segment.tokens());
      std::copy(from, from + width, op.rows.row(segment.first_image + i));
    });
  }
}

template <class T>
void execute(Host const&, ClassTokenScatter<T> const& op) {
  auto const width = op.tokens.extent(1);
  for (auto const& segment : op.layout->segments()) {
    host::parallel_rows(segment.rows(), [=](std::int64_t i) {
      auto* const to = op.tokens.row(segment.first_row + i);
      if (i % segment.tokens() == 0) {
        auto const* const from = op.rows.row(segment.first_image + i / segment.tokens());
        std::copy(from, from + width, to);
      } else {
        std::fill(to, to + width, T{});
      }
    });
  }
}

template void execute(Host const&, PatchGather<float> const&);
template void execute(Host const&, PatchGather<bfloat16> const&);
template void execute(Host const&, TokensAssemble<float> const&);
template void execute(Host const&, TokensAssemble<bfloat16> const&);
template void execute(Host const&, TokensAssembleBackward<float> const&);
template void execute(Host const&, TokensAssembleBackward<bfloat16> const&);
template void execute(Host const&, PositionResample<float> const&);
template void execute(Host const&, PositionResample<bfloat16> const&);
template void execute(Host const&, ClassTokenGather<float> const&);
template void execute(Host const&, ClassTokenGather<bfloat16> const&);
template void execute(Host const&, ClassTokenScatter<float> const&);
template void execute(Host const&, ClassTokenScatter<bfloat16> const&);

}  // namespace dino
