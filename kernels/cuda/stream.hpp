// SPDX-License-Identifier: Apache-2.0
// What a kernel launch needs of a device; the rest of it is in context.hpp.
#pragma once
#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/space.hpp"

namespace dino::cuda {

cudaStream_t stream_of(Cuda const& cuda);
/// For collectives between devices, beside the operations; made on first use.
cudaStream_t communication_stream_of(Cuda const& cuda);
std::int64_t multiprocessors_of(Cuda const& cuda);

/// Memory for the partial results of one operation, which runs alone: operations follow each other
/// on the stream.
constexpr std::int64_t partials_bytes = std::int64_t{32} << 20;
std::byte* partials_of(Cuda const& cuda);
/// \throws Error (a bug) unless partials of one operation fit
void require_partials(std::int64_t bytes);

/// Counts the launch before. \throws Error (a bug) where it failed
void check_launch(Cuda const& cuda);

}  // namespace dino::cuda
