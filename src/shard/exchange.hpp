// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/device_communicator.hpp"
#include "kernels/space.hpp"

namespace dino::shard {

/// A collective under way on memory of a space. Its operands must stay untouched until `wait`
/// returns.
class Exchange {
 public:
  Exchange() = default;
  /// Whether `test` may still bring it forward.
  bool active() const { return request_.active(); }
  void test() { request_.test(); }
  /// What is run on the space from now on finds the result in its memory.
  void wait();

 private:
  friend class Exchanger;
  /// Host memory that stands in for a device's.
  struct Staging {
    Space space;
    std::vector<std::byte> sent, received;
    void* to = nullptr;  ///< where `received` goes
  };
  explicit Exchange(Request request, std::unique_ptr<Staging> staging = nullptr)
      : request_(std::move(request)), staging_(std::move(staging)) {}
  Exchange(DeviceCommunicator const& device, DeviceCommunicator::Ticket ticket)
      : device_(&device), ticket_(ticket) {}

  Request request_;
  std::unique_ptr<Staging> staging_;            ///< null: the operands themselves are exchanged
  DeviceCommunicator const* device_ = nullptr;  ///< null: `request_` is it
  DeviceCommunicator::Ticket ticket_ = 0;
};

/// The collectives of a group of ranks on memory of a space: on the host's they work in place; a
/// device's goes from device to device, or is staged through the host. All ranks of the group call
/// alike.
class Exchanger {
 public:
  enum class Path { in_place, staged };
  /// \param device  the same group on the devices of its ranks; null: through the host
  Exchanger(Space const& space, Communicator const& group,
            std::shared_ptr<DeviceCommunicator> device = nullptr)
      : Exchanger(space, group, is_host(space) || is_dry(space) ? Path::in_place : Path::staged) {
    device_ = std::move(device);
  }
  Exchanger(Space const& space, Communicator const& group, Path path)
      : space_(space), group_(group), path_(path) {}

  /// all = the equal shares of all ranks; `mine` is this rank's part of `all`.
  /// \param what  is gathered, for reports of collectives that do not end; so below
  Exchange all_gather(View<std::byte, 1> mine, View<std::byte, 1> all,
                      std::string_view what = {}) const;
  /// mine = this rank's share of the sum over ranks of `all`.
  Exchange reduce_scatter_sum(View<float, 1> all, View<float, 1> mine,
                              std::string_view what = {}) const;
  /// values = the sum over ranks.
  Exchange all_reduce_sum(View<float, 1> values, std::string_view what = {}) const;

 private:
  std::unique_ptr<Exchange::Staging> stage(void const* from, std::int64_t bytes, void* to,
                                           std::int64_t received) const;
  Space space_;
  Communicator group_;
  std::shared_ptr<DeviceCommunicator> device_;
  Path path_;
};

}  // namespace dino::shard
