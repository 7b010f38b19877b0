// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.hpp"

#include "kernels/host/matrix_product.hpp"
#include "kernels/host/parallel.hpp"
#include "kernels/host/row_math.hpp"
#include "kernels/host/store.hpp"
#include "kernels/host/workspace.hpp"

namespace dino {

namespace {

using host::Factor;
using host::MatrixProduct;
using host::scalar_of;

// Without bfloat16 arithmetic, rows are converted to float32 this many at a time.
constexpr std::int64_t rows_per_conversion = 1024;

template <class From, class To>
void convert(From const* x, To* y, std::int64_t count) {
  host::parallel_parts(count, host::elements_per_part, [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) host::store(y[i], static_cast<float>(x[i]));
  });
}

float const* widened(bfloat16 const* x, std::size_t slot, std::int64_t count) {
  auto* const memory = host::workspace(slot, count);
  convert(x, memory, count);
  return memory;
}

/// c [m, n] = a [m, k] b + bias, all in bfloat16, through float32 copies of parts of a and c and of
/// b.
template <class Out>
void multiply_widened(MatrixProduct product, bfloat16 const* a, bfloat16 const* b,
                      bfloat16 const* bias, Out* c) {
  auto const rows = product.m;
  product.type = product.c_type = host::Scalar::f32;
  product.b.data = widened(b, 0, product.n * product.k);
  if (bias != nullptr) product.bias = widened(bias, 3, product.n);
  for (std::int64_t first = 0; first < rows; first += rows_per_conversion) {
    product.m = std::min(rows_per_conversion, rows - first);
    product.a.data = widened(a + first * product.k, 1, product.m * product.k);
    auto* const out = c + first * product.n;
    if constexpr (std::is_same_v<Out, float>) {
      product.c = out;
      multiply(product);
    } else {
      auto* const wide = host::workspace(2, product.m * product.n);
      product.c = wide;
      multiply(product);
      convert(wide, out, product.m * product.n);
    }
  }
}

}  // namespace

template <class T, class Out>
void execute(Host const&, LinearForward<T, Out> const& op) {
  auto const rows = op.x.extent(0), in = op.x.extent(1), out = op.weight.extent(0);
  if (rows == 0 || out == 0) return;
  auto const* const bias = op.bias.empty() ? nullptr : op.bias.data();
  MatrixProduct const product{.m = rows,
                              .n = out,
                              .k = in,
                              .a = {op.x.data(), false, in},
                              .b = {op.weight.data(), true, in},
                              .type = scalar_of<T>,
                              .bias = bias,
                              .c = op.y.data(),
                              .c_type = scalar_of<Out>};
  if constexpr (std::is_same_v<T, bfloat16>) {
    if (!host::native_bfloat16())
      return multiply_widened(product, op.x.data(), op.weight.data(), bias, op.y.data());
  }
  multiply(product);
}

template <class T>
void execute(Host const&, LinearBackwardInput<T> const& op) {
  auto const rows = op.dy.extent(0), in = op.weight.extent(1), out = op.weight.extent(0);
  if (rows == 0 || in == 0) return;
  MatrixProduct const product{.m = rows,
                              .n = in,
                              .k = out,
                              .a = {op.dy.data(), false, out},
                              .b = {op.weight.data(), false, in},
                              .type = scalar_of<T>,
                              .c = op.dx.data(),
                              .c_type = scalar_of<T>};
  if constexpr (std::is_same_v<T, bfloat16>) {
    bfloat16 const* const no_bias = nullptr;
    if (!host::native_bfloat16())
      return multiply_widened(product, op.dy.data(), op.weight.data(), no_bias, op.dx.data());
  }
  multiply(product);
}

template <class T>
void execute(Host const&, LinearBackwardWeight<T> const& op) {
  auto const rows = op.x.extent(0), in = op.x.extent(1), out = op.dy.extent(1);
  if (rows == 0 || out == 0) return;
  if (!op.dbias.empty()) {
    auto const* const dy = op.dy.data();
    host::add_column_sums(rows, out, op.dbias.data(), [=](std::int64_t i, std::int64_t j) {
      return static_cast<float>(dy[i * out + j]);
    });
  }
  MatrixProduct product{.m = out,
                        .n = in,
                        .k = rows,
                        .a = {op.dy.data(), true, out},
                        .b = {op.x.data(), false, in},
                        .type = scalar_of<T>,
                        .c = op.dweight.data(),
                        .accumulate = true};
  if constexpr (std::is_same_v<T, bfloat16>) {
    if (!host::native_bfloat16()) {
      product.type = host::Scalar::f32;
      for (std::int64_t first = 0; first < rows; first += rows_per_conversion) {
        product.k = std::min(rows_per_conversion, rows - first);
        product.a.data = widened(op.dy.row(first), 0, product.k * out);
        product.b.data = widened(op.x.row(first), 1, product.k * in);
        multiply(product);
      }
      return;
    }
  }
  multiply(product);
}

template void execute(Host const&, LinearForward<float, float> const&);
template void execute(Host const&, LinearForward<bfloat16, bfloat16> const&);
template void execute(Host const&, LinearForward<bfloat16, float> const&);
template void execute(Host const&, LinearBackwardInput<float> const&);
template void execute(Host const&, LinearBackwardInput<bfloat16> const&);
template void execute(Host const&, LinearBackwardWeight<float> const&);
template void execute(Host const&, LinearBackwardWeight<bfloat16> const&);

}  // namespace dino
