// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/context.hpp"

#include <algorithm>
#include <cstring>

#include "base/error.hpp"
#include "kernels/cuda/stream.hpp"
#include "kernels/device.hpp"
#include "kernels/memory.hpp"

namespace dino {
namespace cuda {
namespace {

[[noreturn]] void fail_at(std::source_location const& place, char const* library,
                          char const* text) {
  fail(ExitCode::bug,
       "{}: {} ({}:{}). An error of an operation may show up later: CUDA_LAUNCH_BLOCKING=1 shows "
       "where it is",
       library, text, place.file_name(), place.line());
}

enum class Priority { usual, highest };
Stream make_stream(Priority priority = Priority::usual) {
  int lowest = 0, highest = 0;
  cuda_check(cudaDeviceGetStreamPriorityRange(&lowest, &highest));
  cudaStream_t raw = nullptr;
  cuda_check(cudaStreamCreateWithPriority(&raw, cudaStreamNonBlocking,
                                          priority == Priority::highest ? highest : lowest));
  return Stream(raw);
}

Blas make_blas() {
  cublasLtHandle_t raw = nullptr;
  blas_check(cublasLtCreate(&raw));
  return Blas(raw);
}

}  // namespace

void cuda_check(cudaError_t code, std::source_location place) {
  if (code != cudaSuccess) fail_at(place, "CUDA", cudaGetErrorString(code));
}

void blas_check(cublasStatus_t code, std::source_location place) {
  if (code != CUBLAS_STATUS_SUCCESS) fail_at(place, "cuBLASLt", cublasLtGetStatusString(code));
}

void cudnn_check(cudnnStatus_t code, std::source_location place) {
  if (code == CUDNN_STATUS_SUCCESS) return;
  char detail[512] = {};
  cudnnGetLastErrorString(detail, sizeof detail);
  fail_at(place, "cuDNN", fmt::format("{}: {}", cudnnGetErrorString(code), detail).c_str());
}

Event make_event() {
  cudaEvent_t raw = nullptr;
  cuda_check(cudaEventCreateWithFlags(&raw, cudaEventDisableTiming));
  return Event(raw);
}

PinnedMemory allocate_pinned(std::int64_t bytes) {
  void* raw = nullptr;
  auto const code = cudaMallocHost(&raw, static_cast<std::size_t>(bytes));
  require(code != cudaErrorMemoryAllocation, ExitCode::usage,
          "out of host memory that a device can read: {} MiB more are needed. Lower data.prefetch "
          "or run.micro_batch, use fewer ranks on a node, or ask for more memory",
          (bytes + (1 << 20) - 1) >> 20);
  cuda_check(code);
  return PinnedMemory(static_cast<std::byte*>(raw));
}

DeviceMemory allocate_device(std::int64_t bytes) {
  void* raw = nullptr;
  auto const code = cudaMalloc(&raw, static_cast<std::size_t>(bytes));
  if (code == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // this error stays with no later call
    std::size_t free = 0, total = 0;
    cuda_check(cudaMemGetInfo(&free, &total));
    int ordinal = 0;
    cuda_check(cudaGetDevice(&ordinal));
    fail(ExitCode::usage, "{}",
         out_of_memory_text(bytes, static_cast<std::int64_t>(free),
                            static_cast<std::int64_t>(total), fmt::format("cuda:{}", ordinal)));
  }
  cuda_check(code);
  return DeviceMemory(static_cast<std::byte*>(raw));
}

Context::Context(int ordinal) : ordinal_(ordinal) {
  auto const code = cudaSetDevice(ordinal);
  require(code == cudaSuccess, ExitCode::usage, "cannot use cuda:{}: {}", ordinal,
          cudaGetErrorString(code));
  cuda_check(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, ordinal));
  stream_ = make_stream();
  partials_ = allocate_device(partials_bytes);
  blas_workspace_ = allocate_device(blas_workspace_bytes);
  blas_ = make_blas();
  for (auto& staging : staging_) staging = {allocate_pinned(staging_bytes), make_event()};
}

Context::~Context() {
  if (copy_stream_) cudaStreamSynchronize(copy_stream_.get());
  if (communication_stream_) cudaStreamSynchronize(communication_stream_.get());
  cudaStreamSynchronize(stream_.get());
}

cudaStream_t Context::communication_stream() {
  if (!communication_stream_) communication_stream_ = make_stream(Priority::highest);
  return communication_stream_.get();
}

cudaStream_t Context::copy_stream() {
  if (!copy_stream_) copy_stream_ = make_stream();
  return copy_stream_.get();
}

cudnnHandle_t Context::cudnn() {
  if (!cudnn_) {
    cudnnHandle_t raw = nullptr;
    cudnn_check(cudnnCreate(&raw));
    cudnn_ = Cudnn(raw);
    cudnn_check(cudnnSetStream(raw, stream()));
  }
  return cudnn_.get();
}

// cudaFree waits until the device has done what was queued.
std::byte* Context::cudnn_workspace(std::int64_t bytes) {
  if (bytes > cudnn_workspace_bytes_) {
    cudnn_workspace_.reset();
    cudnn_workspace_bytes_ = 0;
    cudnn_workspace_ = allocate_device(bytes);
    cudnn_workspace_bytes_ = bytes;
  }
  return cudnn_workspace_.get();
}

void Context::copy_in(void* to, void const* from, std::int64_t bytes) {
  for (std::int64_t begin = 0; begin < bytes; begin += staging_bytes) {
    auto& staging = staging_[next_staging_];
    next_staging_ = (next_staging_ + 1) % staging_.size();
    auto const count = static_cast<std::size_t>(std::min(staging_bytes, bytes - begin));
    cuda_check(cudaEventSynchronize(staging.done.get()));  // at once where it was never recorded
    std::memcpy(staging.memory.get(), static_cast<std::byte const*>(from) + begin, count);
    cuda_check(cudaMemcpyAsync(static_cast<std::byte*>(to) + begin, staging.memory.get(), count,
                               cudaMemcpyHostToDevice, stream()));
    cuda_check(cudaEventRecord(staging.done.get(), stream()));
    ++launches_.copies_in;
  }
}

void Context::copy_out(void* to, void const* from, std::int64_t bytes) {
  cuda_check(
      cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToHost, stream()));
  cuda_check(cudaStreamSynchronize(stream()));
  ++launches_.copies_out;
}

cudaStream_t stream_of(Cuda const& cuda) {
  return cuda.context->stream();
}
cudaStream_t communication_stream_of(Cuda const& cuda) {
  return cuda.context->communication_stream();
}
std::int64_t multiprocessors_of(Cuda const& cuda) {
  return cuda.context->multiprocessors();
}
std::byte* partials_of(Cuda const& cuda) {
  return cuda.context->partials();
}
void require_partials(std::int64_t bytes) {
  require(bytes <= partials_bytes, ExitCode::bug,
          "an operation needs {} bytes for partial results, there are {}", bytes, partials_bytes);
}
void check_launch(Cuda const& cuda) {
  cuda_check(cudaGetLastError());
  ++cuda.context->launches().kernels;
}

}  // namespace cuda

MemoryBlock allocate(Cuda const& cuda, std::int64_t bytes) {
  auto memory = cuda::allocate_device(bytes);
  cuda::cuda_check(
      cudaMemsetAsync(memory.get(), 0, static_cast<std::size_t>(bytes), cuda.context->stream()));
  // cudaFree waits until the device has done what was queued
  return {memory.release(), [](std::byte* data) { cudaFree(data); }};
}

void copy_in(Cuda const& cuda, void* to, void const* from, std::int64_t bytes) {
  cuda.context->copy_in(to, from, bytes);
}
void copy_out(Cuda const& cuda, void* to, void const* from, std::int64_t bytes) {
  cuda.context->copy_out(to, from, bytes);
}
void wait_for(Cuda const& cuda) {
  cuda::cuda_check(cudaStreamSynchronize(cuda.context->stream()));
}

std::optional<DeviceMemoryState> memory_on(Cuda const& cuda) {
  std::size_t free = 0, total = 0;  // of the current device, which a context makes its own
  cuda::cuda_check(cudaMemGetInfo(&free, &total));
  return DeviceMemoryState{static_cast<std::int64_t>(free), static_cast<std::int64_t>(total),
                           bus_of(cuda)};
}
Launches launches_on(Cuda const& cuda) {
  return cuda.context->launches();
}

Space device_space(int ordinal, std::function<void()> between) {
  return Cuda{std::make_shared<cuda::Context>(ordinal), std::move(between)};
}

}  // namespace dino
