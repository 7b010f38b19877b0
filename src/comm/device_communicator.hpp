// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "comm/communicator.hpp"
#include "kernels/space.hpp"

namespace dino {

/// The NCCL that the program runs with, e.g. "2.28.9"; empty: this build has none.
std::string nccl_version();

/// Why NCCL cannot serve the ranks of `world` on their devices: two of them share one, or this
/// build has none; empty: it can. Alike on all ranks. Collective.
std::string nccl_obstacle(Communicator const& world, Space const& device);

/// Collectives of a group of ranks on the memory of their devices, through NCCL, on a stream beside
/// that of the operations: a collective begins when what was run before it is done, and runs beside
/// what is run after it, until `wait`. All groups of a process share that stream, so their
/// collectives run in the order of their calls, which has to be the same on every rank. Errors in
/// the background are seen by CollectiveWatch.
class DeviceCommunicator {
 public:
  /// A collective under way.
  using Ticket = std::int64_t;

  /// Collective over the group. \param name  of the group, for reports
  /// \throws Error (bug) with NCCL's reason
  DeviceCommunicator(Space const& device, Communicator const& group, std::string name);
  DeviceCommunicator(DeviceCommunicator const&) = delete;
  DeviceCommunicator& operator=(DeviceCommunicator const&) = delete;
  ~DeviceCommunicator();

  /// all = the equal shares of all ranks, of `bytes` each; `mine` may be this rank's part of `all`.
  /// \param what  is gathered, for reports; so below
  Ticket all_gather(void const* mine, void* all, std::int64_t bytes, std::string_view what);
  /// mine = this rank's share, `count` values, of the sum over ranks of `all`.
  Ticket reduce_scatter_sum(float const* all, float* mine, std::int64_t count,
                            std::string_view what);
  /// values = the sum over ranks.
  Ticket all_reduce_sum(float* values, std::int64_t count, std::string_view what);
  /// What is run from now on begins when the collective is done; returns at once.
  void wait(Ticket ticket) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace dino
