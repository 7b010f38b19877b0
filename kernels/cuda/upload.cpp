// SPDX-License-Identifier: Apache-2.0
#include "kernels/upload.hpp"

#include "kernels/cuda/context.hpp"
#include "kernels/memory.hpp"

namespace dino {
namespace {

/// Copies on the context's copy stream, in step with its operations by two events.
class StreamOrder : public UploadOrder {
 public:
  explicit StreamOrder(Cuda const& cuda)
      : context_(cuda.context), filled_(cuda::make_event()), used_(cuda::make_event()) {}

  void begin() override { cuda::cuda_check(cudaStreamWaitEvent(copies(), used_.get())); }
  void copy(void* to, void const* from, std::int64_t bytes) override {
    cuda::cuda_check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes),
                                     cudaMemcpyHostToDevice, copies()));
  }
  void finish() override { cuda::cuda_check(cudaEventRecord(filled_.get(), copies())); }
  void acquire() override {
    cuda::cuda_check(cudaStreamWaitEvent(context_->stream(), filled_.get()));
  }
  void wait() override { cuda::cuda_check(cudaEventSynchronize(filled_.get())); }
  void release() override { cuda::cuda_check(cudaEventRecord(used_.get(), context_->stream())); }

 private:
  cudaStream_t copies() const { return context_->copy_stream(); }

  std::shared_ptr<cuda::Context> context_;
  cuda::Event filled_, used_;
};

}  // namespace

MemoryBlock allocate_for_upload(Cuda const&, std::int64_t bytes) {
  return {cuda::allocate_pinned(bytes).release(), [](std::byte* data) { cudaFreeHost(data); }};
}

std::unique_ptr<UploadOrder> make_upload_order(Cuda const& cuda) {
  return std::make_unique<StreamOrder>(cuda);
}

}  // namespace dino
