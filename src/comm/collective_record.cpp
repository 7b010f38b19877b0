// SPDX-License-Identifier: Apache-2.0
#include "comm/collective_record.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

namespace dino {
namespace {

static_assert(std::atomic<std::int64_t>::is_always_lock_free &&
              std::atomic<std::uint32_t>::is_always_lock_free);

/// The monotonic clock is the same in all processes of a node.
std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

double seconds_since(std::int64_t then) {
  return then == 0 ? 0 : static_cast<double>(now() - then) * 1e-9;
}

CollectiveRecord own_record;
std::atomic<CollectiveRecord*> record_in_use{&own_record};
std::atomic<std::int64_t> collectives{0};

}  // namespace

// The fence keeps what changes from being seen before the version is, also on processors that
// reorder stores. Source: Boehm 2012, doi:10.1145/2247684.2247688.
void CollectiveRecord::begin_change() noexcept {
  version_.fetch_add(1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
}
void CollectiveRecord::enter(std::string_view name, std::int64_t number) noexcept {
  begin_change();
  since_.store(now(), std::memory_order_relaxed);
  inside_.store(true, std::memory_order_relaxed);
  number_.store(number, std::memory_order_relaxed);
  auto const length = std::min(name.size(), longest_name);
  for (std::size_t i = 0; i < length; ++i) name_[i].store(name[i], std::memory_order_relaxed);
  name_[length].store('\0', std::memory_order_relaxed);
  version_.fetch_add(1, std::memory_order_release);
}
void CollectiveRecord::leave() noexcept {
  begin_change();
  since_.store(now(), std::memory_order_relaxed);
  inside_.store(false, std::memory_order_relaxed);
  version_.fetch_add(1, std::memory_order_release);
}
void CollectiveRecord::beat() noexcept {
  beat_.store(now(), std::memory_order_relaxed);
}

CollectiveRecord::State CollectiveRecord::read() const {
  State state;
  // A writer that was stopped in the middle leaves the version odd: what can be read is returned.
  for (int attempt = 0; attempt < 1000; ++attempt) {
    auto const before = version_.load(std::memory_order_acquire);
    state = {.number = number_.load(std::memory_order_relaxed),
             .inside = inside_.load(std::memory_order_relaxed),
             .name = {},
             .seconds = seconds_since(since_.load(std::memory_order_relaxed)),
             .silent_seconds = seconds_since(beat_.load(std::memory_order_relaxed)),
             .whole = false};
    for (auto const& letter : name_) {
      auto const c = letter.load(std::memory_order_relaxed);
      if (c == '\0') break;
      state.name += c;
    }
    std::atomic_thread_fence(std::memory_order_acquire);
    if (before % 2 == 0 && version_.load(std::memory_order_relaxed) == before) {
      state.whole = true;
      break;
    }
    std::this_thread::yield();
  }
  return state;
}

std::int64_t next_collective() noexcept {
  return ++collectives;
}

CollectiveRecord& InCollective::record() noexcept {
  return *record_in_use.load(std::memory_order_relaxed);
}
void InCollective::use(CollectiveRecord* other) noexcept {
  record_in_use.store(other == nullptr ? &own_record : other, std::memory_order_relaxed);
}

}  // namespace dino
