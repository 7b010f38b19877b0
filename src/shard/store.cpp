// SPDX-License-Identifier: Apache-2.0
#include "shard/store.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/host_arrays.hpp"

namespace dino::shard {
namespace {

template <class T>
View<std::byte, 1> bytes_of(View<T, 1> view) {
  return {reinterpret_cast<std::byte*>(view.data()),
          {view.size() * static_cast<std::int64_t>(sizeof(T))}};
}

}  // namespace

Strategy Strategy::named(std::string const& name, int ranks, std::optional<std::int64_t> group_size,
                         int prefetch) {
  if (name == "full") return {ranks, true, prefetch};
  if (name == "grad_op") return {ranks, false, prefetch};
  if (name == "replicate") return {1, false, prefetch};
  require(name == "hybrid", ExitCode::usage,
          "unknown shard.strategy '{}' (must be full, grad_op, hybrid or replicate)", name);
  auto const group = group_size.value_or(0);
  require(
      group >= 1 && ranks % group == 0, ExitCode::usage,
      "shard.group_size={} does not divide the {} ranks. Give a divisor for shard.strategy=hybrid",
      group, ranks);
  return {static_cast<int>(group), true, prefetch};
}

Collectives collectives_named(std::string const& name) {
  if (name == "auto") return Collectives::automatic;
  if (name == "nccl") return Collectives::nccl;
  require(name == "staged", ExitCode::usage,
          "unknown shard.collectives '{}' (must be auto, nccl or staged)", name);
  return Collectives::staged;
}

ShardGroups ShardGroups::make(Communicator const& world, int group_size) {
  if (world.is_imaginary())
    return {Communicator::imaginary(group_size),
            Communicator::imaginary(world.size() / group_size)};
  return {world.split(world.rank() / group_size), world.split(world.rank() % group_size)};
}

ShardGroups ShardGroups::make(Space const& space, Communicator const& world,
                              Strategy const& strategy) {
  auto groups = make(world, strategy.group_size);
  bool const on_device = !is_host(space) && !is_dry(space);
  if (!on_device || world.size() == 1 || strategy.collectives == Collectives::staged) return groups;
  auto const obstacle = nccl_obstacle(world, space);
  if (!obstacle.empty()) {
    require(strategy.collectives != Collectives::nccl, ExitCode::usage,
            "shard.collectives=nccl is impossible: {}. Give each rank a device of its own, or use "
            "shard.collectives=auto",
            obstacle);
    if (world.rank() == 0)
      log::warning("parameters and gradients go through the host, slowly, not by NCCL: {}",
                   obstacle);
    return groups;
  }
  auto const between_devices = [&](Communicator const& ranks, char const* name) {
    return ranks.size() > 1 ? std::make_shared<DeviceCommunicator>(space, ranks, name) : nullptr;
  };
  groups.device_group = between_devices(groups.group, "the group that shares a copy");
  groups.device_replicas = between_devices(groups.replicas, "the ranks with the same part");
  return groups;
}

template <class T>
ParameterStore<T>::ParameterStore(Space const& space, ShardGroups const& groups,
                                  Strategy const& strategy, std::vector<UnitSpec> units, Role role)
    : space_(space),
      groups_(groups),
      in_group_(space, groups.group, groups.device_group),
      in_replicas_(space, groups.replicas, groups.device_replicas),
      strategy_(strategy),
      role_(role) {
  for (auto& spec : units) units_.emplace_back(UnitLayout(std::move(spec), groups_.group.size()));
  for (auto& unit : units_) {
    unit.name = (role == Role::student ? "student " : "teacher ") + unit.layout.spec().prefix;
    if (unit.name.back() == '.') unit.name.pop_back();
    auto const n = unit.layout.part_size();
    unit.master = allocate<float>(n, &StoreBytes::parameters);
    if (unit.layout.spec().buffers) {
      if (sharded()) unit.whole = allocate<float>(unit.layout.size(), &StoreBytes::working);
      continue;
    }
    if (role_ == Role::teacher) continue;
    unit.gradient = allocate<float>(n, &StoreBytes::gradients);
    unit.exp_avg = allocate<float>(n, &StoreBytes::optimizer);
    unit.exp_avg_sq = allocate<float>(n, &StoreBytes::optimizer);
  }
  if (!in_place()) allocate_gathered();
  if (role_ == Role::student && sharded()) allocate_gradients();
}

template <class T>
template <class U>
View<U, 1> ParameterStore<T>::allocate(std::int64_t count, std::int64_t StoreBytes::*kind) {
  memory_.emplace_back(space_, count * static_cast<std::int64_t>(sizeof(U)));
  bytes_.*kind += memory_.back().bytes();
  return memory_.back().template as<U>();
}

template <class T>
void ParameterStore<T>::allocate_gathered() {
  for (auto& unit : units_) {
    if (unit.layout.spec().buffers) continue;
    auto it = std::find_if(pools_.begin(), pools_.end(),
                           [&](auto const& p) { return p.size == unit.layout.size(); });
    if (it == pools_.end()) it = pools_.insert(it, Pool{unit.layout.size(), {}, {}});
    unit.pool = static_cast<int>(it - pools_.begin());
    auto const most =
        persistent() ? units_.size() : static_cast<std::size_t>(1 + strategy_.prefetch);
    if (it->slots.size() < most) {
      it->slots.push_back(allocate<T>(it->size, &StoreBytes::working));
      it->owner.push_back(-1);
    }
  }
}

template <class T>
void ParameterStore<T>::allocate_gradients() {
  for (auto const& unit : units_) {
    if (unit.layout.spec().buffers) continue;
    auto const size = unit.layout.size();
    auto const same = std::count_if(gradient_slots_.begin(), gradient_slots_.end(),
                                    [&](auto const& slot) { return slot.full.size() == size; });
    if (same >= 2) continue;  // one is filled while the other is reduced
    GradientSlot slot;
    slot.full = allocate<float>(size, &StoreBytes::working);
    slot.received = allocate<float>(unit.layout.part_size(), &StoreBytes::working);
    gradient_slots_.push_back(std::move(slot));
  }
}

/// Whether the unit is gathered or being gathered; false where no buffer is free.
template <class T>
bool ParameterStore<T>::start_gather(int index) {
  auto& unit = units_[static_cast<std::size_t>(index)];
  if (unit.slot >= 0) return true;
  auto& pool = pools_[static_cast<std::size_t>(unit.pool)];
  auto const free = std::find(pool.owner.begin(), pool.owner.end(), -1);
  if (free == pool.owner.end()) return false;
  *free = index;
  unit.slot = static_cast<int>(free - pool.owner.begin());
  auto const all = pool.slots[static_cast<std::size_t>(unit.slot)];
  auto const mine =
      all.rows(part() * unit.layout.part_size(), (part() + 1) * unit.layout.part_size());
  run(space_, Cast<float, T>{.x = unit.master, .y = mine});
  if (sharded()) unit.request = in_group_.all_gather(bytes_of(mine), bytes_of(all), unit.name);
  return true;
}

template <class T>
void ParameterStore<T>::prefetch(int unit, Pass pass) {
  if (pass == Pass::alone) return;
  int const direction = pass == Pass::forward ? 1 : -1;
  int next = unit;
  for (int i = 1; i <= strategy_.prefetch; ++i) {
    do next += direction;
    while (next >= 0 && next < units() && is_buffers(next));
    if (next < 0 || next >= units() || !start_gather(next)) return;
  }
}

template <class T>
UnitView<float const> ParameterStore<T>::buffers(int index) {
  auto& unit = units_[static_cast<std::size_t>(index)];
  if (!sharded()) return {unit.layout, unit.master};
  in_group_.all_gather(bytes_of(unit.master), bytes_of(unit.whole), unit.name).wait();
  return {unit.layout, unit.whole};
}

template <class T>
UnitView<T const> ParameterStore<T>::gather(int index, Pass pass) {
  auto& unit = units_[static_cast<std::size_t>(index)];
  if constexpr (std::is_same_v<T, float>) {
    if (in_place()) return {unit.layout, unit.master};
  }
  require(start_gather(index), ExitCode::bug, "no buffer is free to gather unit {}",
          unit.layout.spec().prefix);
  prefetch(index, pass);
  unit.request.wait();
  return {unit.layout,
          pools_[static_cast<std::size_t>(unit.pool)].slots[static_cast<std::size_t>(unit.slot)]};
}

template <class T>
void ParameterStore<T>::release(int index, Pass pass) {
  auto& unit = units_[static_cast<std::size_t>(index)];
  if (in_place() || persistent() || unit.slot < 0) return;
  // The last unit of a forward pass is the first of the backward pass.
  if (role_ == Role::student && pass == Pass::forward && index + 1 == units()) return;
  pools_[static_cast<std::size_t>(unit.pool)].owner[static_cast<std::size_t>(unit.slot)] = -1;
  unit.slot = -1;
}

template <class T>
void ParameterStore<T>::invalidate() {
  for (auto& unit : units_) {
    unit.request.wait();
    unit.slot = -1;
  }
  for (auto& pool : pools_) std::fill(pool.owner.begin(), pool.owner.end(), -1);
}

template <class T>
UnitView<float> ParameterStore<T>::gradient(int index) {
  auto& unit = units_[static_cast<std::size_t>(index)];
  if (!sharded()) return {unit.layout, unit.gradient};
  GradientSlot* found = nullptr;
  for (std::size_t i = 0; i < gradient_slots_.size() && found == nullptr; ++i) {
    auto& slot = gradient_slots_[(next_gradient_slot_ + i) % gradient_slots_.size()];
    if (slot.full.size() == unit.layout.size()) {
      found = &slot;
      next_gradient_slot_ = (next_gradient_slot_ + i + 1) % gradient_slots_.size();
    }
  }
  for (auto& slot : gradient_slots_)
    if (&slot == found || slot.unit == index) finish_reduce(slot);  // a unit has one slot at a time
  found->unit = index;
  run(space_, Fill<float>{.y = found->full});
  return {unit.layout, found->full};
}

template <class T>
void ParameterStore<T>::reduce(int index, Last last) {
  if (!sharded()) {
    if (last == Last::yes) start_replica_sum(index);
    return;
  }
  auto const slot = std::find_if(gradient_slots_.begin(), gradient_slots_.end(),
                                 [&](auto const& s) { return s.unit == index; });
  require(slot != gradient_slots_.end(), ExitCode::bug, "unit {} is reduced without a gradient",
          units_[static_cast<std::size_t>(index)].layout.spec().prefix);
  slot->last = last == Last::yes;
  slot->request = in_group_.reduce_scatter_sum(slot->full, slot->received,
                                               units_[static_cast<std::size_t>(index)].name);
}

template <class T>
void ParameterStore<T>::finish_reduce(GradientSlot& slot) {
  if (slot.unit < 0) return;
  slot.request.wait();
  int const unit = std::exchange(slot.unit, -1);
  run(space_,
      Axpy<float>{
          .a = 1, .x = slot.received, .y = units_[static_cast<std::size_t>(unit)].gradient});
  if (slot.last) start_replica_sum(unit);
}

template <class T>
void ParameterStore<T>::start_replica_sum(int index) {
  if (groups_.replicas.size() == 1) return;
  auto const& unit = units_[static_cast<std::size_t>(index)];
  replica_sums_.push_back(in_replicas_.all_reduce_sum(unit.gradient, unit.name));
}

template <class T>
void ParameterStore<T>::finish_gradients() {
  // In the order of the reductions, which is the same on all ranks: a replica sum may start here.
  for (std::size_t i = 0; i < gradient_slots_.size(); ++i) {
    finish_reduce(gradient_slots_[(next_gradient_slot_ + i) % gradient_slots_.size()]);
  }
  for (auto& request : replica_sums_) request.wait();
  replica_sums_.clear();
}

template <class T>
void ParameterStore<T>::zero_gradients() {
  for (auto& unit : units_) run(space_, Fill<float>{.y = unit.gradient});
}

template <class T>
void ParameterStore<T>::initialize(std::uint64_t seed) {
  if (is_dry(space_)) return;
  for (auto& unit : units_) {
    HostArrays arrays(space_);
    auto const& spec = unit.layout.spec();
    auto const master = arrays.room(unit.master);
    for (std::size_t p = 0; p < spec.parameters.size(); ++p) {
      auto const overlap = unit.layout.overlap(p, part());
      auto const name = spec.prefix + spec.parameters[p].name;
      for (std::int64_t i = 0; i < overlap.count; ++i) {
        master[static_cast<std::size_t>(overlap.in_part + i)] =
            initial_value(spec.parameters[p].init, seed, name, overlap.in_parameter + i);
      }
    }
    arrays.send();
  }
}

template <class T>
void ParameterStore<T>::poll() {
  // One test advances everything that is under way.
  for (auto& unit : units_) {
    if (unit.request.active()) {
      unit.request.test();
      return;
    }
  }
  for (auto& slot : gradient_slots_) {
    if (slot.request.active()) {
      slot.request.test();
      return;
    }
  }
  if (!replica_sums_.empty()) replica_sums_.front().test();
}

template <class T>
StoreBytes ParameterStore<T>::bytes() const {
  return bytes_;
}

template class ParameterStore<float>;
template class ParameterStore<bfloat16>;

}  // namespace dino::shard
