// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <exception>

#include "base/handle.hpp"
#include "kernels/cuda/check.hpp"
#include "kernels/cuda/convolution_graph.hpp"
#include "kernels/cuda/flash_attention.hpp"
#include "kernels/cuda/gemm_plans.hpp"
#include "kernels/device.hpp"

namespace dino::cuda {

struct StreamTraits {
  using Raw = cudaStream_t;
  static Raw null() noexcept { return nullptr; }
  static void close(Raw raw) noexcept { cudaStreamDestroy(raw); }
};
struct EventTraits {
  using Raw = cudaEvent_t;
  static Raw null() noexcept { return nullptr; }
  static void close(Raw raw) noexcept { cudaEventDestroy(raw); }
};
struct DeviceMemoryTraits {
  using Raw = std::byte*;
  static Raw null() noexcept { return nullptr; }
  static void close(Raw raw) noexcept { cudaFree(raw); }
};
struct PinnedMemoryTraits {
  using Raw = std::byte*;
  static Raw null() noexcept { return nullptr; }
  static void close(Raw raw) noexcept { cudaFreeHost(raw); }
};
struct BlasTraits {
  using Raw = cublasLtHandle_t;
  static Raw null() noexcept { return nullptr; }
  static void close(Raw raw) noexcept { cublasLtDestroy(raw); }
};
struct CudnnTraits {
  using Raw = cudnnHandle_t;
  static Raw null() noexcept { return nullptr; }
  static void close(Raw raw) noexcept { cudnnDestroy(raw); }
};
using Stream = UniqueHandle<StreamTraits>;
using Event = UniqueHandle<EventTraits>;
using DeviceMemory = UniqueHandle<DeviceMemoryTraits>;
using PinnedMemory = UniqueHandle<PinnedMemoryTraits>;
using Blas = UniqueHandle<BlasTraits>;
using Cudnn = UniqueHandle<CudnnTraits>;

Event make_event();
/// \throws Error (usage) where the host has too little memory
PinnedMemory allocate_pinned(std::int64_t bytes);
/// \throws Error (usage) where the device has too little memory, see out_of_memory_text
DeviceMemory allocate_device(std::int64_t bytes);

/// What a rank holds of its device: a stream for all operations, handles of the libraries with
/// their workspace and plans, staging memory. Used from one thread.
class Context {
 public:
  static constexpr std::int64_t blas_workspace_bytes = std::int64_t{32} << 20;

  /// Makes the device this thread's current one. \throws Error (usage) where it cannot be used
  explicit Context(int ordinal);
  Context(Context const&) = delete;
  Context& operator=(Context const&) = delete;
  ~Context();

  cudaStream_t stream() const { return stream_.get(); }
  /// Made on first use, of the highest priority: collectives are short and others wait for them.
  cudaStream_t communication_stream();
  /// Made on first use, for copies to the device while it computes.
  cudaStream_t copy_stream();
  int ordinal() const { return ordinal_; }
  int multiprocessors() const { return multiprocessors_; }
  std::byte* partials() const { return partials_.get(); }
  cublasLtHandle_t blas() const { return blas_.get(); }
  std::byte* blas_workspace() const { return blas_workspace_.get(); }
  GemmPlans& gemm_plans() { return gemm_plans_; }
  /// Made on first use: loading cuDNN takes long.
  cudnnHandle_t cudnn();
  FlashPlans& flash_plans() { return flash_plans_; }
  ConvolutionPlans& convolution_plans() { return convolution_plans_; }
  /// Memory for cuDNN. It grows to the largest plan: in a run's first step only.
  std::byte* cudnn_workspace(std::int64_t bytes);

  /// What was queued so far; who queues something counts it.
  Launches& launches() { return launches_; }

  /// Host memory may be reused on return; the copy itself is queued.
  void copy_in(void* to, void const* from, std::int64_t bytes);
  /// Returns when the copy, and all that was queued before, is done.
  void copy_out(void* to, void const* from, std::int64_t bytes);

 private:
  static constexpr std::int64_t staging_bytes = std::int64_t{4} << 20;
  /// Pinned memory, and the copy that reads it.
  struct Staging {
    PinnedMemory memory;
    Event done;
  };

  int ordinal_;
  int multiprocessors_ = 0;
  Stream stream_, communication_stream_, copy_stream_;
  DeviceMemory partials_, blas_workspace_;
  Blas blas_;
  GemmPlans gemm_plans_;
  Cudnn cudnn_;
  FlashPlans flash_plans_;
  ConvolutionPlans convolution_plans_;
  DeviceMemory cudnn_workspace_;
  std::int64_t cudnn_workspace_bytes_ = 0;
  std::array<Staging, 2> staging_;
  std::size_t next_staging_ = 0;
  Launches launches_;
};

}  // namespace dino::cuda
