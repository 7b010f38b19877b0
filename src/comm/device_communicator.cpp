// SPDX-License-Identifier: Apache-2.0
#include "comm/device_communicator.hpp"

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <array>
#include <chrono>
#include <deque>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include "base/error.hpp"
#include "comm/collective_record.hpp"
#include "comm/collective_watch.hpp"
#include "comm/device_places.hpp"
#include "kernels/cuda/stream.hpp"
#include "kernels/device.hpp"

namespace dino {
namespace {

using Clock = std::chrono::steady_clock;

void cuda_check(cudaError_t code, char const* action) {
  require(code == cudaSuccess, ExitCode::bug, "cannot {}: {}", action, cudaGetErrorString(code));
}

void nccl_check(ncclResult_t code, std::string const& action, ncclComm_t communicator = nullptr) {
  if (code == ncclSuccess) return;
  fail(ExitCode::bug, "NCCL: {}: {}: {}. NCCL_DEBUG=INFO tells more", action,
       ncclGetErrorString(code), ncclGetLastError(communicator));
}

cudaEvent_t make_event() {
  cudaEvent_t event = nullptr;
  cuda_check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "make an event");
  return event;
}

}  // namespace

std::string nccl_version() {
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess) return {};
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

std::string nccl_obstacle(Communicator const& world, Space const& device) {
  return shared_device(world.all_gather_text(device_place(bus_of(std::get<Cuda>(device)))));
}

/// A collective has two events, taken in turn: the operations before it are done, and it is done.
/// An event that was taken again stands for a later collective of the same stream, so that waiting
/// for it is still right; the watch sees those alone whose events are their own.
struct DeviceCommunicator::State : WatchedCollectives {
  struct Events {
    cudaEvent_t ready = make_event(), done = make_event();
  };
  struct Pending {
    Ticket ticket;
    std::string name;
    std::int64_t number;
    Clock::time_point since;
  };

  State(Cuda const& space, Communicator const& group, std::string name_);
  State(State const&) = delete;
  State& operator=(State const&) = delete;
  ~State() override;

  /// Queues `call` behind what was run before.
  Ticket start(char const* kind, std::string_view what, auto const& call);
  Events& events_of(Ticket ticket) {
    return events[static_cast<std::size_t>(ticket) % events.size()];
  }
  std::optional<PendingCollective> oldest() override;
  std::optional<std::string> fault() override;

  Cuda cuda;
  std::string name;
  int ordinal = 0;
  cudaStream_t stream;
  ncclComm_t communicator = nullptr;
  std::array<Events, 64> events;
  Ticket next = 1;
  bool abandoned = false;  ///< after an error: the other ranks may never come
  std::mutex mutex;        ///< of what the watch's thread sees: `pending`
  std::deque<Pending> pending;
};

DeviceCommunicator::State::State(Cuda const& space, Communicator const& group, std::string name_)
    : cuda{space.context, {}}, name(std::move(name_)), stream(cuda::communication_stream_of(cuda)) {
  cuda_check(cudaGetDevice(&ordinal), "find the device");
  ncclUniqueId id{};
  if (group.rank() == 0) nccl_check(ncclGetUniqueId(&id), "make a group of ranks");
  group.broadcast(std::as_writable_bytes(std::span(&id, 1)));
  InCollective const inside("NCCL start of " + name);
  nccl_check(ncclCommInitRank(&communicator, group.size(), id, group.rank()), "start " + name);
}

DeviceCommunicator::State::~State() {
  for (auto const& pair : events) {
    cudaEventDestroy(pair.ready);
    cudaEventDestroy(pair.done);
  }
  if (abandoned)
    ncclCommAbort(communicator);
  else
    ncclCommDestroy(communicator);
}

DeviceCommunicator::Ticket DeviceCommunicator::State::start(char const* kind, std::string_view what,
                                                            auto const& call) {
  auto const ticket = next++, number = next_collective();
  auto text = fmt::format("{} of {} between devices, {}", kind, what, name);
  auto& event = events_of(ticket);
  cuda_check(cudaEventRecord(event.ready, cuda::stream_of(cuda)), "record an event");
  cuda_check(cudaStreamWaitEvent(stream, event.ready), "wait for an event");
  {
    InCollective const inside(text, number);  // the first of its kind connects ranks
    nccl_check(call(), text, communicator);
  }
  cuda_check(cudaEventRecord(event.done, stream), "record an event");
  std::lock_guard const lock(mutex);
  pending.push_back({ticket, std::move(text), number, Clock::now()});
  if (pending.size() > events.size()) pending.pop_front();
  return ticket;
}

std::optional<PendingCollective> DeviceCommunicator::State::oldest() {
  cudaSetDevice(ordinal);
  std::lock_guard const lock(mutex);
  while (!pending.empty() && cudaEventQuery(events_of(pending.front().ticket).done) == cudaSuccess)
    pending.pop_front();
  if (pending.empty()) return std::nullopt;
  auto const& front = pending.front();
  return PendingCollective{front.name, front.number,
                           std::chrono::duration<double>(Clock::now() - front.since).count()};
}

std::optional<std::string> DeviceCommunicator::State::fault() {
  auto code = ncclSuccess;
  if (auto const asked = ncclCommGetAsyncError(communicator, &code); asked != ncclSuccess)
    code = asked;
  if (code == ncclSuccess || code == ncclInProgress) return std::nullopt;
  return fmt::format("NCCL failed in {}: {}: {}. NCCL_DEBUG=INFO tells more", name,
                     ncclGetErrorString(code), ncclGetLastError(communicator));
}

DeviceCommunicator::DeviceCommunicator(Space const& device, Communicator const& group,
                                       std::string name)
    : state_(std::make_shared<State>(std::get<Cuda>(device), group, std::move(name))) {
  add_watched(state_);
}

// The thread of the watch may hold the state a moment longer, and knows nothing of this one's
// errors.
DeviceCommunicator::~DeviceCommunicator() {
  state_->abandoned = std::uncaught_exceptions() > 0;
  remove_watched(state_.get());
}

auto DeviceCommunicator::all_gather(void const* mine, void* all, std::int64_t bytes,
                                    std::string_view what) -> Ticket {
  return state_->start("all-gather", what, [&] {
    return ncclAllGather(mine, all, static_cast<std::size_t>(bytes), ncclInt8, state_->communicator,
                         state_->stream);
  });
}

auto DeviceCommunicator::reduce_scatter_sum(float const* all, float* mine, std::int64_t count,
                                            std::string_view what) -> Ticket {
  return state_->start("reduce-scatter", what, [&] {
    return ncclReduceScatter(all, mine, static_cast<std::size_t>(count), ncclFloat, ncclSum,
                             state_->communicator, state_->stream);
  });
}

auto DeviceCommunicator::all_reduce_sum(float* values, std::int64_t count, std::string_view what)
    -> Ticket {
  return state_->start("sum over ranks", what, [&] {
    return ncclAllReduce(values, values, static_cast<std::size_t>(count), ncclFloat, ncclSum,
                         state_->communicator, state_->stream);
  });
}

void DeviceCommunicator::wait(Ticket ticket) const {
  cuda_check(cudaStreamWaitEvent(cuda::stream_of(state_->cuda), state_->events_of(ticket).done),
             "wait for an event");
}

}  // namespace dino
