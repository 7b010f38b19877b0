// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <memory>
#include <vector>

#include "comm/communicator.hpp"
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
  /// Until the result is in the space's memory.
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

  Request request_;
  std::unique_ptr<Staging> staging_;  ///< null: the operands themselves are exchanged
};

/// The collectives of a group of ranks on memory of a space: on the host's they work in place, a
/// device's is staged through the host. All ranks of the group call alike.
class Exchanger {
 public:
  enum class Path { in_place, staged };
  Exchanger(Space const& space, Communicator const& group)
      : Exchanger(space, group, is_host(space) || is_dry(space) ? Path::in_place : Path::staged) {}
  Exchanger(Space const& space, Communicator const& group, Path path)
      : space_(space), group_(group), path_(path) {}

  /// all = the equal shares of all ranks; `mine` is this rank's part of `all`.
  Exchange all_gather(View<std::byte, 1> mine, View<std::byte, 1> all) const;
  /// mine = this rank's share of the sum over ranks of `all`.
  Exchange reduce_scatter_sum(View<float, 1> all, View<float, 1> mine) const;
  /// values = the sum over ranks.
  Exchange all_reduce_sum(View<float, 1> values) const;

 private:
  std::unique_ptr<Exchange::Staging> stage(void const* from, std::int64_t bytes, void* to,
                                           std::int64_t received) const;
  Space space_;
  Communicator group_;
  Path path_;
};

}  // namespace dino::shard
