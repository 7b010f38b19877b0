// SPDX-License-Identifier: Apache-2.0
// Collectives between emulated devices, by MPI: each is done when its call returns.
#include "comm/device_communicator.hpp"

#include <span>

#include "emulator/memory.hpp"

namespace dino {

struct DeviceCommunicator::State {
  Communicator group;  ///< a copy that counts for itself: the caller counts what is moved
};

std::string nccl_version() {
  return "emulated";
}
std::string nccl_obstacle(Communicator const&, Space const&) {
  return {};
}

DeviceCommunicator::DeviceCommunicator(Space const&, Communicator const& group, std::string)
    : state_(std::make_shared<State>(State{group.split(0)})) {}
DeviceCommunicator::~DeviceCommunicator() = default;

auto DeviceCommunicator::all_gather(void const* mine, void* all, std::int64_t bytes,
                                    std::string_view what) -> Ticket {
  emulator::MemoryAccess const access;
  auto const share = static_cast<std::size_t>(bytes);
  auto const ranks = static_cast<std::size_t>(state_->group.size());
  state_->group
      .all_gather({static_cast<std::byte const*>(mine), share},
                  {static_cast<std::byte*>(all), share * ranks}, what)
      .wait();
  return 0;
}

auto DeviceCommunicator::reduce_scatter_sum(float const* all, float* mine, std::int64_t count,
                                            std::string_view what) -> Ticket {
  emulator::MemoryAccess const access;
  auto const share = static_cast<std::size_t>(count);
  auto const ranks = static_cast<std::size_t>(state_->group.size());
  state_->group.reduce_scatter_sum({all, share * ranks}, {mine, share}, what).wait();
  return 0;
}

auto DeviceCommunicator::all_reduce_sum(float* values, std::int64_t count, std::string_view what)
    -> Ticket {
  emulator::MemoryAccess const access;
  state_->group.all_reduce_sum({values, static_cast<std::size_t>(count)}, what).wait();
  return 0;
}

void DeviceCommunicator::wait(Ticket) const {}

}  // namespace dino
