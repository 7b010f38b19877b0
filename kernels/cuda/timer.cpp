// SPDX-License-Identifier: Apache-2.0
#include "kernels/timer.hpp"

#include "kernels/cuda/context.hpp"

namespace dino {
namespace {

class EventTimer : public Timer {
 public:
  explicit EventTimer(Cuda const& cuda) : context_(cuda.context) {}

  void mark() override {
    if (used_ == events_.size()) events_.push_back(make_event());
    cuda::cuda_check(cudaEventRecord(events_[used_++].get(), context_->stream()));
  }

  std::vector<double> take() override {
    std::vector<double> seconds;
    if (used_ > 0) cuda::cuda_check(cudaEventSynchronize(events_[used_ - 1].get()));
    for (std::size_t i = 1; i < used_; ++i) {
      float milliseconds = 0;
      cuda::cuda_check(cudaEventElapsedTime(&milliseconds, events_[i - 1].get(), events_[i].get()));
      seconds.push_back(1e-3 * static_cast<double>(milliseconds));
    }
    used_ = 0;
    return seconds;
  }

 private:
  static cuda::Event make_event() {
    cudaEvent_t raw = nullptr;
    cuda::cuda_check(cudaEventCreate(&raw));
    return cuda::Event(raw);
  }

  std::shared_ptr<cuda::Context> context_;
  std::vector<cuda::Event> events_;  ///< made once, recorded again in every step
  std::size_t used_ = 0;
};

}  // namespace

std::unique_ptr<Timer> timer_on(Cuda const& cuda) {
  return std::make_unique<EventTimer>(cuda);
}

}  // namespace dino
