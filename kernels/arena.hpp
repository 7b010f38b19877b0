// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cstdint>

#include "base/error.hpp"
#include "kernels/space.hpp"

namespace dino {

/// A stack of arrays in one block of memory that is allocated once. A dry run of the same code
/// gives the size: `Arena(Space{Dry{...}}, no_limit)` and afterwards `high_water()`.
class Arena {
 public:
  static constexpr std::int64_t alignment = 64;
  static constexpr std::int64_t no_limit = std::int64_t{1} << 46;

  Arena(Space const& space, std::int64_t bytes) : buffer_(space, bytes) {}
  /// On memory taken from another arena, which is not released before the end of this one.
  explicit Arena(View<std::byte, 1> memory) : buffer_(memory) {}

  /// An uninitialized array on top of the stack. \throws Error (a bug) where the arena is too small
  template <class T, int R>
  View<T, R> take(std::array<std::int64_t, R> extents) {
    std::int64_t count = 1;
    for (auto const e : extents) count *= e;
    auto const bytes = aligned(count * static_cast<std::int64_t>(sizeof(T)));
    require(top_ + bytes <= buffer_.bytes(), ExitCode::bug,
            "the arena of {} bytes is too small: {} are in use and {} more are asked for",
            buffer_.bytes(), top_, bytes);
    auto const view = buffer_.as<T>(top_, count).template reshaped<R>(extents);
    top_ += bytes;
    high_water_ = std::max(high_water_, top_);
    return view;
  }
  /// What `take` uses for so many bytes.
  static constexpr std::int64_t aligned(std::int64_t bytes) {
    return (bytes + alignment - 1) / alignment * alignment;
  }
  /// Bytes in use; give it to `release` to free everything taken since.
  std::int64_t mark() const { return top_; }
  void release(std::int64_t mark) { top_ = mark; }
  std::int64_t high_water() const { return high_water_; }
  std::int64_t bytes() const { return buffer_.bytes(); }

 private:
  Buffer buffer_;
  std::int64_t top_ = 0;
  std::int64_t high_water_ = 0;
};

/// Where memory of a dry run lies that holds no values, not even on the host: it must not be read.
template <class T>
T* no_memory() {
  return reinterpret_cast<T*>(Arena::alignment);
}

/// Frees, at the end of its scope, what was taken from an arena since its beginning.
class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena) : arena_(arena), mark_(arena.mark()) {}
  ArenaScope(ArenaScope const&) = delete;
  ArenaScope& operator=(ArenaScope const&) = delete;
  ~ArenaScope() { arena_.release(mark_); }

 private:
  Arena& arena_;
  std::int64_t mark_;
};

}  // namespace dino
