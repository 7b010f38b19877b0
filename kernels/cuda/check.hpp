// SPDX-License-Identifier: Apache-2.0
// Return codes of the CUDA libraries become Errors. For .cpp files: kernels use stream.hpp.
#pragma once
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>

#include <source_location>

namespace dino::cuda {

/// \throws Error (bug) with CUDA's text and the place of the call unless `code` is a success
void cuda_check(cudaError_t code, std::source_location place = std::source_location::current());
void blas_check(cublasStatus_t code, std::source_location place = std::source_location::current());
void cudnn_check(cudnnStatus_t code, std::source_location place = std::source_location::current());

}  // namespace dino::cuda
