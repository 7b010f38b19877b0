// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dino {

/// What a rank does in collectives: whether it waits in one, which, since when. Lies in memory that
/// the ranks of a node share; one thread writes, any number of processes read.
class CollectiveRecord {
 public:
  struct State {
    std::int64_t number = 0;  ///< of the last collective that was waited for; 0: none
    bool inside = false;
    std::string name;           ///< of that collective
    double seconds = 0;         ///< since it was entered, or left where the rank is not inside
    double silent_seconds = 0;  ///< since the process last showed that it runs
    bool whole = true;          ///< false: the writer stands still in the middle of a change
  };

  void enter(std::string_view name, std::int64_t number) noexcept;
  void leave() noexcept;
  /// Shows that the process runs.
  void beat() noexcept;
  /// The record as it is now; by any thread of any process of the node.
  State read() const;

 private:
  static constexpr std::size_t longest_name = 95;
  void begin_change() noexcept;

  std::atomic<std::uint32_t> version_{0};  ///< odd while the record changes
  std::atomic<std::int64_t> number_{0}, since_{0}, beat_{0};
  std::atomic<bool> inside_{false};
  std::array<std::atomic<char>, longest_name + 1> name_{};
};

/// Number of a collective that begins, from 1. Ranks that call the same ones have the same numbers.
std::int64_t next_collective() noexcept;

/// Marks a collective of this rank, from construction to destruction, in the record in use.
class InCollective {
 public:
  explicit InCollective(std::string_view name, std::int64_t number = next_collective()) noexcept {
    record().enter(name, number);
  }
  InCollective(InCollective const&) = delete;
  InCollective& operator=(InCollective const&) = delete;
  ~InCollective() { record().leave(); }

  /// The record that this process writes: its own memory, or what `use` gave.
  static CollectiveRecord& record() noexcept;
  /// \param other  outlives its use; null: the process's own again
  static void use(CollectiveRecord* other) noexcept;
};

}  // namespace dino
