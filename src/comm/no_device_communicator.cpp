// SPDX-License-Identifier: Apache-2.0
// Collectives on devices in a build without NCCL: there are none.
#include "base/error.hpp"
#include "comm/device_communicator.hpp"

namespace dino {

struct DeviceCommunicator::State {};

std::string nccl_version() {
  return {};
}
std::string nccl_obstacle(Communicator const&, Space const&) {
  return "this build has no NCCL";
}

DeviceCommunicator::DeviceCommunicator(Space const&, Communicator const&, std::string) {
  fail(ExitCode::bug, "this build has no NCCL");
}
DeviceCommunicator::~DeviceCommunicator() = default;

auto DeviceCommunicator::all_gather(void const*, void*, std::int64_t, std::string_view) -> Ticket {
  return 0;
}
auto DeviceCommunicator::reduce_scatter_sum(float const*, float*, std::int64_t, std::string_view)
    -> Ticket {
  return 0;
}
auto DeviceCommunicator::all_reduce_sum(float*, std::int64_t, std::string_view) -> Ticket {
  return 0;
}
void DeviceCommunicator::wait(Ticket) const {}

}  // namespace dino
