// SPDX-License-Identifier: Apache-2.0
// The emulated device as a space. Partial results begin as NaN, since a device's are undefined.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "emulator/emulator.hpp"
#include "emulator/memory.hpp"
#include "kernels/attention.hpp"
#include "kernels/cuda/attention_tiled.hpp"
#include "kernels/cuda/bias.hpp"
#include "kernels/cuda/convolution_gathered.hpp"
#include "kernels/cuda/device.cuh"
#include "kernels/device.hpp"
#include "kernels/gemm.hpp"
#include "kernels/memory.hpp"
#include "kernels/timer.hpp"
#include "kernels/upload.hpp"

namespace dino {
namespace {

std::int64_t copies_in = 0, copies_out = 0, products = 0;

/// What the libraries of a device do, by the host's form.
template <class Op>
void multiply(Op const& op) {
  ++products;
  if (emulator::only_counts()) return;
  emulator::MemoryAccess const access;
  execute(Host{}, op);
}

}  // namespace

namespace cuda {

std::byte* partials_of(Cuda const&) {
  static std::vector<std::byte> memory(partials_bytes);
  std::fill(memory.begin(), memory.begin() + (1 << 20), std::byte{0xFF});
  return memory.data();
}

void require_partials(std::int64_t bytes) {
  if (bytes > partials_bytes) std::abort();
}

}  // namespace cuda

MemoryBlock allocate(Cuda const&, std::int64_t bytes) {
  return {.data = emulator::take_memory(bytes)};
}
void copy_in(Cuda const&, void* to, void const* from, std::int64_t bytes) {
  emulator::MemoryAccess const access;
  ++copies_in;
  std::memcpy(to, from, static_cast<std::size_t>(bytes));
}
void copy_out(Cuda const&, void* to, void const* from, std::int64_t bytes) {
  emulator::MemoryAccess const access;
  ++copies_out;
  std::memcpy(to, from, static_cast<std::size_t>(bytes));
}
void wait_for(Cuda const&) {}
std::unique_ptr<Timer> timer_on(Cuda const&) {
  return timer_on(Host{});
}
std::optional<DeviceMemoryState> memory_on(Cuda const& cuda) {
  return DeviceMemoryState{emulator::memory_size() - emulator::memory_in_use(),
                           emulator::memory_size(), bus_of(cuda)};
}
Launches launches_on(Cuda const&) {
  return {emulator::launch_count(), products, copies_in, copies_out};
}

MemoryBlock allocate_for_upload(Cuda const&, std::int64_t bytes) {
  return allocate(Host{}, bytes);
}

namespace {

[[noreturn]] void give_up(char const* problem) {
  std::fprintf(stderr, "emulator: %s\n", problem);
  std::abort();
}

// Copies come as late as is allowed, and those that nobody waits for never; what they read must
// stay the same until the host has waited.
class LateCopies : public UploadOrder {
 public:
  void begin() override {
    if (!copies_.empty())
      give_up("memory is filled again before the host has waited for the copies");
  }
  void copy(void* to, void const* from, std::int64_t bytes) override {
    copies_.push_back({to, from, bytes});
  }
  void finish() override {}
  void acquire() override {
    for (auto& [to, from, bytes, read] : copies_) {
      if (!read.empty()) continue;
      auto const* const data = static_cast<std::byte const*>(from);
      read.assign(data, data + bytes);
      copy_in(Cuda{}, to, from, bytes);
    }
  }
  void wait() override {
    acquire();
    for (auto const& [to, from, bytes, read] : copies_) {
      if (std::memcmp(from, read.data(), read.size()) != 0)
        give_up("host memory changed while it was copied");
    }
    copies_.clear();
  }
  void release() override {}

 private:
  struct Copy {
    void* to;
    void const* from;
    std::int64_t bytes;
    std::vector<std::byte> read = {};  ///< what was copied, once it was
  };
  std::vector<Copy> copies_;
};

}  // namespace

std::unique_ptr<UploadOrder> make_upload_order(Cuda const&) {
  return std::make_unique<LateCopies>();
}

DeviceList find_devices() {
  return {.devices = {DeviceInfo{.name = "emulator", .bus = "0000:00:00.0", .major = 9}},
          .reason = {}};
}
std::string bus_of(Cuda const&) {
  return "0000:00:00.0";
}
Space device_space(int, std::function<void()> between) {
  return Cuda{nullptr, std::move(between)};
}

template <class T>
void execute(Cuda const& cuda, AttentionForward<T> const& op) {
  if (op.out.size() > 0) cuda::attention_tiled(cuda, op);
}
template <class T>
void execute(Cuda const& cuda, AttentionBackward<T> const& op) {
  if (op.out.size() > 0) cuda::attention_tiled(cuda, op);
}
// Products are the host's, biases the program's own where they are on a device.
template <class T, class Out>
void execute(Cuda const& cuda, LinearForward<T, Out> const& op) {
  bool const fused = std::is_same_v<T, Out> || op.bias.empty();
  multiply(fused ? op : LinearForward<T, Out>{op.x, op.weight, {}, op.y});
  if (!fused) cuda::add_bias<T, Out>(cuda, op.bias, op.y);
}
template <class T>
void execute(Cuda const&, LinearBackwardInput<T> const& op) {
  multiply(op);
}
template <class T>
void execute(Cuda const& cuda, LinearBackwardWeight<T> const& op) {
  if (!op.dbias.empty()) cuda::add_bias_gradient<T>(cuda, op.dy, op.dbias);
  multiply(LinearBackwardWeight<T>{op.x, op.dy, op.dweight, {}});
}

template <class T>
void execute(Cuda const& cuda, ConvolutionForward<T> const& op) {
  if (!op.windows.pointwise()) return cuda::convolution_gathered(cuda, op);
  execute(cuda, LinearForward<T>{op.x, op.filters, {}, op.y});
}
template <class T>
void execute(Cuda const& cuda, ConvolutionBackwardInput<T> const& op) {
  if (!op.windows.pointwise()) return cuda::convolution_gathered(cuda, op);
  execute(cuda, LinearBackwardInput<T>{op.dy, op.filters, op.dx});
}
template <class T>
void execute(Cuda const& cuda, ConvolutionBackwardFilters<T> const& op) {
  if (!op.windows.pointwise()) return cuda::convolution_gathered(cuda, op);
  execute(cuda, LinearBackwardWeight<T>{op.x, op.dy, op.dfilters, {}});
}

template void execute(Cuda const&, ConvolutionForward<float> const&);
template void execute(Cuda const&, ConvolutionForward<bfloat16> const&);
template void execute(Cuda const&, ConvolutionBackwardInput<float> const&);
template void execute(Cuda const&, ConvolutionBackwardInput<bfloat16> const&);
template void execute(Cuda const&, ConvolutionBackwardFilters<float> const&);
template void execute(Cuda const&, ConvolutionBackwardFilters<bfloat16> const&);
template void execute(Cuda const&, LinearForward<float, float> const&);
template void execute(Cuda const&, LinearForward<bfloat16, bfloat16> const&);
template void execute(Cuda const&, LinearForward<bfloat16, float> const&);
template void execute(Cuda const&, LinearBackwardInput<float> const&);
template void execute(Cuda const&, LinearBackwardInput<bfloat16> const&);
template void execute(Cuda const&, LinearBackwardWeight<float> const&);
template void execute(Cuda const&, LinearBackwardWeight<bfloat16> const&);
template void execute(Cuda const&, AttentionForward<float> const&);
template void execute(Cuda const&, AttentionForward<bfloat16> const&);
template void execute(Cuda const&, AttentionBackward<float> const&);
template void execute(Cuda const&, AttentionBackward<bfloat16> const&);

}  // namespace dino
