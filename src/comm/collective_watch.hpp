// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <mpi.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "comm/collective_record.hpp"
#include "comm/communicator.hpp"

namespace dino {

/// A collective that runs elsewhere than in the rank's own thread, such as on a device.
struct PendingCollective {
  std::string name;
  std::int64_t number = 0;  ///< see next_collective
  double seconds = 0;       ///< since it was entered, or queued
};

/// What a library that moves data in the background knows of its collectives. Called by the watch's
/// thread.
class WatchedCollectives {
 public:
  virtual ~WatchedCollectives() = default;
  /// The oldest that is not finished.
  virtual std::optional<PendingCollective> oldest() = 0;
  /// An error that came up since, in words.
  virtual std::optional<std::string> fault() = 0;
};

/// Adds to what every watch of this process looks at, until `remove_watched`.
void add_watched(std::shared_ptr<WatchedCollectives> collectives);
void remove_watched(WatchedCollectives const* collectives);

/// A rank and its records.
struct RankState {
  int rank = 0;
  CollectiveRecord::State state;
  CollectiveRecord::State background = {};  ///< of the oldest PendingCollective, as its watch saw
};

/// What a rank reports of a collective that takes too long: itself, and of the other ranks of its
/// node who waits, too, who is elsewhere, and whose process does not move.
std::string describe_hang(int rank, PendingCollective const& waiting,
                          std::span<RankState const> others);

/// Watches over the collectives of this rank in a thread of its own: one that takes longer than the
/// limit, or an error of a library in the background, is reported with the rank and the name of the
/// collective, and all ranks are aborted; likewise where that thread itself is held, as by the
/// driver of a device.
class CollectiveWatch {
 public:
  /// Collective over `world`. \param limit_seconds  > 0
  /// \param give_up  what ends the program, called once, by a thread of the watch, with the
  /// report; empty: abort_all_ranks
  CollectiveWatch(Communicator const& world, double limit_seconds,
                  std::function<void(std::string const&)> give_up = {});
  CollectiveWatch(CollectiveWatch const&) = delete;
  CollectiveWatch& operator=(CollectiveWatch const&) = delete;
  ~CollectiveWatch();

 private:
  struct Records {
    CollectiveRecord own, background;
  };
  void watch(std::stop_token const& stop);
  void guard(std::stop_token const& stop);
  void end(std::string const& report);
  std::chrono::duration<double> pause() const;
  std::optional<std::string> look();
  void publish(std::optional<PendingCollective> const& oldest);
  std::string report(PendingCollective const& waiting) const;

  int rank_;
  double limit_;
  std::function<void(std::string const&)> give_up_;
  Communicator node_;
  MPI_Win window_ = MPI_WIN_NULL;
  std::vector<int> ranks_;         ///< of the node, in the world
  std::vector<Records*> records_;  ///< theirs
  Records* mine_ = nullptr;
  std::int64_t published_ = 0;          ///< number of the collective in `background`; 0: none
  std::atomic<std::int64_t> looks_{0};  ///< of `thread_`
  std::atomic_flag ended_;              ///< `give_up_` was called
  std::jthread thread_, guard_;
};

}  // namespace dino
