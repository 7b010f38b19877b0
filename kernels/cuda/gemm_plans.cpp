// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/gemm_plans.hpp"

#include <bit>

#include "kernels/cuda/check.hpp"

namespace dino::cuda {
namespace {

/// A column-major matrix; `transpose`: it lies in memory as its transpose.
UniqueHandle<MatrixLayoutTraits> layout(cudaDataType_t type, std::int64_t rows,
                                        std::int64_t columns, std::int64_t stride, bool transpose) {
  if (transpose) std::swap(rows, columns);
  cublasLtMatrixLayout_t raw = nullptr;
  blas_check(cublasLtMatrixLayoutCreate(&raw, type, static_cast<std::uint64_t>(rows),
                                        static_cast<std::uint64_t>(columns), stride));
  return UniqueHandle<MatrixLayoutTraits>(raw);
}

template <class T>
void set(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t attribute, T const& value) {
  blas_check(cublasLtMatmulDescSetAttribute(product, attribute, &value, sizeof value));
}

}  // namespace

std::uint32_t alignment_of(void const* address) {
  constexpr std::uintptr_t most = 256;
  auto const bits = std::bit_cast<std::uintptr_t>(address) | most;
  return static_cast<std::uint32_t>(bits & (~bits + 1));
}

// Sums are float32 whatever the operands; TF32 would round float32 operands to 11 bits.
GemmPlan::GemmPlan(GemmShape const& shape)
    : a(layout(shape.input, shape.m, shape.k, shape.lda, shape.transpose_a)),
      b(layout(shape.input, shape.k, shape.n, shape.ldb, shape.transpose_b)),
      d(layout(shape.output, shape.m, shape.n, shape.m, false)) {
  cublasLtMatmulDesc_t raw = nullptr;
  blas_check(cublasLtMatmulDescCreate(&raw, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  product = UniqueHandle<MatmulDescTraits>(raw);
  auto const operation = [](bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; };
  set(raw, CUBLASLT_MATMUL_DESC_TRANSA, operation(shape.transpose_a));
  set(raw, CUBLASLT_MATMUL_DESC_TRANSB, operation(shape.transpose_b));
  if (shape.bias) set(raw, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
}

GemmPlans::Plan& GemmPlans::find(GemmShape const& shape,
                                 std::function<Plan(GemmShape const&)> const& choose) {
  auto it = plans_.find(shape);
  if (it == plans_.end()) it = plans_.emplace(shape, choose(shape)).first;
  return it->second;
}

}  // namespace dino::cuda
