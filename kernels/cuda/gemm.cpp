// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.hpp"

#include <array>

#include "base/error.hpp"
#include "kernels/cuda/bias.hpp"
#include "kernels/cuda/context.hpp"

namespace dino {
namespace {

using cuda::GemmPlan;
using cuda::GemmPlans;
using cuda::GemmShape;

template <class T>
constexpr cudaDataType_t type_of = std::is_same_v<T, bfloat16> ? CUDA_R_16BF : CUDA_R_32F;

struct PreferenceTraits {
  using Raw = cublasLtMatmulPreference_t;
  static Raw null() noexcept { return nullptr; }
  static void close(Raw raw) noexcept { cublasLtMatmulPreferenceDestroy(raw); }
};

template <class T>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
         T const& value) {
  cuda::blas_check(
      cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value));
}

constexpr std::uint32_t least_bias_alignment = 16;  // of a fused bias, bytes

void set_bias(GemmPlan const& plan, void const* bias) {
  cuda::blas_check(cublasLtMatmulDescSetAttribute(
      plan.product.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias));
}

/// The algorithm that cuBLASLt expects to be the fastest with the context's workspace.
GemmPlans::Plan choose_algorithm(cuda::Context const& context, GemmShape const& shape) {
  cublasLtMatmulPreference_t raw = nullptr;
  cuda::blas_check(cublasLtMatmulPreferenceCreate(&raw));
  UniqueHandle<PreferenceTraits> const preference(raw);
  set(raw, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
      static_cast<std::uint64_t>(cuda::Context::blas_workspace_bytes));
  set(raw, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, shape.align_a);
  set(raw, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, shape.align_b);
  set(raw, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, shape.align_d);
  set(raw, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, shape.align_d);
  // split sums stay in float32, whatever the result's type
  set(raw, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  GemmPlan plan(shape);
  if (shape.bias) set_bias(plan, context.blas_workspace() + least_bias_alignment);
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  auto const code =
      cublasLtMatmulAlgoGetHeuristic(context.blas(), plan.product.get(), plan.a.get(), plan.b.get(),
                                     plan.d.get(), plan.d.get(), raw, 1, &best, &found);
  if (code == CUBLAS_STATUS_NOT_SUPPORTED) return std::nullopt;
  cuda::blas_check(code);
  if (found == 0 || best.state != CUBLAS_STATUS_SUCCESS) return std::nullopt;
  plan.algorithm = best.algo;
  return plan;
}

struct Operands {
  void const *a, *b;
  void const* bias;  ///< null: none
  void* d;
};

/// Computes the product, or returns false where cuBLASLt has no algorithm for this shape.
bool multiply(Cuda const& cuda, GemmShape shape, Operands const& operands) {
  auto& context = *cuda.context;
  shape.align_a = cuda::alignment_of(operands.a);
  shape.align_b = cuda::alignment_of(operands.b);
  shape.align_d = cuda::alignment_of(operands.d);
  auto& plan = context.gemm_plans().find(
      shape, [&](GemmShape const& s) { return choose_algorithm(context, s); });
  if (!plan) return false;
  if (shape.bias) set_bias(*plan, operands.bias);
  float const one = 1, beta = shape.accumulate ? 1 : 0;
  cuda::blas_check(cublasLtMatmul(
      context.blas(), plan->product.get(), &one, operands.a, plan->a.get(), operands.b,
      plan->b.get(), &beta, operands.d, plan->d.get(), operands.d, plan->d.get(), &plan->algorithm,
      context.blas_workspace(), cuda::Context::blas_workspace_bytes, context.stream()));
  ++context.launches().products;
  return true;
}

void multiply_or_fail(Cuda const& cuda, GemmShape const& shape, Operands const& operands) {
  require(multiply(cuda, shape, operands), ExitCode::bug,
          "cuBLASLt has no algorithm for a product of {} x {} x {}", shape.m, shape.n, shape.k);
}

}  // namespace

// Row-major y = x weightᵀ is column-major yᵀ = weight xᵀ, and the matrices lie in memory as their
// transposes: [in, out], [in, rows].
template <class T, class Out>
void execute(Cuda const& cuda, LinearForward<T, Out> const& op) {
  auto const rows = op.x.extent(0), in = op.x.extent(1), out = op.weight.extent(0);
  if (rows == 0 || out == 0) return;
  GemmShape shape{.m = out,
                  .n = rows,
                  .k = in,
                  .lda = in,
                  .ldb = in,
                  .transpose_a = true,
                  .input = type_of<T>,
                  .output = type_of<Out>};
  Operands const operands{op.weight.data(), op.x.data(), op.bias.data(), op.y.data()};
  // A fused bias has the type of the result.
  shape.bias = std::is_same_v<T, Out> && !op.bias.empty() &&
               cuda::alignment_of(op.bias.data()) >= least_bias_alignment;
  if (shape.bias && multiply(cuda, shape, operands)) return;
  shape.bias = false;
  multiply_or_fail(cuda, shape, operands);
  if (!op.bias.empty()) cuda::add_bias<T, Out>(cuda, op.bias, op.y);
}

template <class T>
void execute(Cuda const& cuda, LinearBackwardInput<T> const& op) {
  auto const rows = op.dy.extent(0), in = op.weight.extent(1), out = op.weight.extent(0);
  if (rows == 0 || in == 0) return;
  multiply_or_fail(cuda,
                   {.m = in,
                    .n = rows,
                    .k = out,
                    .lda = in,
                    .ldb = out,
                    .input = type_of<T>,
                    .output = type_of<T>},
                   {op.weight.data(), op.dy.data(), nullptr, op.dx.data()});
}

template <class T>
void execute(Cuda const& cuda, LinearBackwardWeight<T> const& op) {
  auto const rows = op.x.extent(0), in = op.x.extent(1), out = op.dy.extent(1);
  if (rows == 0 || out == 0) return;
  if (!op.dbias.empty()) cuda::add_bias_gradient<T>(cuda, op.dy, op.dbias);
  multiply_or_fail(cuda,
                   {.m = in,
                    .n = out,
                    .k = rows,
                    .lda = in,
                    .ldb = out,
                    .transpose_b = true,
                    .input = type_of<T>,
                    .output = CUDA_R_32F,
                    .accumulate = true},
                   {op.x.data(), op.dy.data(), nullptr, op.dweight.data()});
}

template void execute(Cuda const&, LinearForward<float, float> const&);
template void execute(Cuda const&, LinearForward<bfloat16, bfloat16> const&);
template void execute(Cuda const&, LinearForward<bfloat16, float> const&);
template void execute(Cuda const&, LinearBackwardInput<float> const&);
template void execute(Cuda const&, LinearBackwardInput<bfloat16> const&);
template void execute(Cuda const&, LinearBackwardWeight<float> const&);
template void execute(Cuda const&, LinearBackwardWeight<bfloat16> const&);

}  // namespace dino
