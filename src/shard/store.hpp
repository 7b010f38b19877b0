// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "comm/communicator.hpp"
#include "kernels/space.hpp"
#include "shard/exchange.hpp"
#include "shard/parameters.hpp"

namespace dino::shard {

/// Which way collectives on memory of devices go: NCCL where it can, else through the host; or the
/// one that is named.
enum class Collectives { automatic, nccl, staged };

/// How parameters, gradients and optimizer state are spread over the ranks.
struct Strategy {
  int group_size = 1;  ///< ranks that share one copy; divides the number of ranks
  bool reshard_after_forward =
      true;          ///< free a unit after its forward pass and gather it again for backward
  int prefetch = 1;  ///< units gathered ahead of need
  Collectives collectives = Collectives::automatic;

  /// full | grad_op | hybrid | replicate over `ranks`. \throws Error (usage) for another name or
  /// group
  static Strategy named(std::string const& name, int ranks, std::optional<std::int64_t> group_size,
                        int prefetch);
};

/// auto | nccl | staged. \throws Error (usage) for another name
Collectives collectives_named(std::string const& name);

/// The group that shares one copy, and the ranks that hold the same part in the other groups.
struct ShardGroups {
  Communicator group, replicas;
  /// The same between devices; null: a group of one rank, or through the host.
  std::shared_ptr<DeviceCommunicator> device_group, device_replicas;

  /// For memory of the host. Collective; so below.
  static ShardGroups make(Communicator const& world, int group_size);
  /// For memory of the space. \throws Error (usage) where NCCL is demanded and cannot serve
  static ShardGroups make(Space const& space, Communicator const& world, Strategy const& strategy);
};

enum class Role { student, teacher };
/// In which order units follow, so which are gathered ahead; `alone`: none is.
enum class Pass { forward, backward, alone };

/// Bytes that this rank holds for good; working buffers hold gathered units and full gradients.
struct StoreBytes {
  std::int64_t parameters = 0, gradients = 0, optimizer = 0, working = 0;
};

/// The parameters of a model as flat units, each split evenly over the ranks of a group (FSDP).
/// A unit is gathered in compute precision T before its use and its gradient, float32, is
/// reduce-scattered afterwards; both overlap with computation. All ranks call in the same order.
/// Source: Zhao et al. 2023, arXiv:2304.11277; Zhang et al. 2022, arXiv:2205.00119 (hybrid).
template <class T>
class ParameterStore {
 public:
  ParameterStore(Space const& space, ShardGroups const& groups, Strategy const& strategy,
                 std::vector<UnitSpec> units, Role role);

  int units() const { return static_cast<int>(units_.size()); }
  UnitLayout const& layout(int unit) const { return units_[static_cast<std::size_t>(unit)].layout; }
  int part() const { return groups_.group.rank(); }
  Communicator const& group() const { return groups_.group; }
  Communicator const& replicas() const { return groups_.replicas; }
  Role role() const { return role_; }
  Space const& space() const { return space_; }

  /// Gathered parameters of a unit, in T; starts gathering the next units of the pass.
  UnitView<T const> gather(int unit, Pass pass);
  /// The unit is not needed before the next `gather`.
  void release(int unit, Pass pass);
  /// The parameters changed: what is gathered is stale.
  void invalidate();

  /// A unit of buffers, whole and in float32, as its parts are now. Collective in the group.
  UnitView<float const> buffers(int unit);
  bool is_buffers(int unit) const { return layout(unit).spec().buffers; }

  /// Student: a full-size float32 buffer to add the gradients of this backward pass to.
  UnitView<float> gradient(int unit);
  /// Starts adding the unit's gradient, summed over the group, to this rank's part. After the last
  /// micro-batch the parts are summed over the replicas too.
  enum class Last { no, yes };
  void reduce(int unit, Last last);
  /// Waits for all reductions.
  void finish_gradients();
  void zero_gradients();

  /// This rank's part of the flat unit, float32.
  View<float, 1> master(int unit) const { return units_[static_cast<std::size_t>(unit)].master; }
  View<float, 1> gradient_part(int unit) const {
    return units_[static_cast<std::size_t>(unit)].gradient;
  }
  View<float, 1> exp_avg(int unit) const { return units_[static_cast<std::size_t>(unit)].exp_avg; }
  View<float, 1> exp_avg_sq(int unit) const {
    return units_[static_cast<std::size_t>(unit)].exp_avg_sq;
  }

  /// Fills this rank's parts with first values. Source: method.md 1.9.
  void initialize(std::uint64_t seed);
  /// Lets pending collectives advance; cheap when there are none.
  void poll();
  StoreBytes bytes() const;

 private:
  struct Unit {
    explicit Unit(UnitLayout made) : layout(std::move(made)) {}
    UnitLayout layout;
    std::string name;                                      ///< for reports of collectives
    View<float, 1> master, gradient, exp_avg, exp_avg_sq;  ///< [part_size]
    View<float, 1> whole;                                  ///< [size], of buffers that are sharded
    int pool = -1;                                         ///< pool of gathered buffers
    int slot = -1;                                         ///< slot in use, or -1: not gathered
    Exchange request;                                      ///< of the gather
  };
  /// Buffers shared by units of one size.
  struct Pool {
    std::int64_t size = 0;  ///< of a unit, in elements
    std::vector<View<T, 1>> slots;
    std::vector<int> owner;  ///< unit that occupies the slot, or -1
  };
  /// A full gradient under way.
  struct GradientSlot {
    View<float, 1> full, received;
    int unit = -1;
    bool last = false;
    Exchange request;
  };

  bool sharded() const { return groups_.group.size() > 1; }
  /// Nothing to gather or convert: the master itself is used.
  bool in_place() const { return !sharded() && std::is_same_v<T, float>; }
  /// Gathered units stay until the parameters change.
  bool persistent() const {
    return !sharded() || (role_ == Role::student && !strategy_.reshard_after_forward);
  }
  template <class U>
  View<U, 1> allocate(std::int64_t count, std::int64_t StoreBytes::*kind);
  void allocate_gathered();
  void allocate_gradients();
  bool start_gather(int unit);
  void prefetch(int unit, Pass pass);
  void finish_reduce(GradientSlot& slot);
  void start_replica_sum(int unit);

  Space space_;
  ShardGroups groups_;
  Exchanger in_group_, in_replicas_;
  Strategy strategy_;
  Role role_;
  std::vector<Unit> units_;
  std::vector<Pool> pools_;
  std::vector<GradientSlot> gradient_slots_;
  std::size_t next_gradient_slot_ = 0;  ///< slots of one size are used in turn
  std::deque<Exchange> replica_sums_;
  std::vector<Buffer> memory_;
  StoreBytes bytes_;
};

}  // namespace dino::shard
