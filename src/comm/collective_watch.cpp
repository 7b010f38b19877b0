// SPDX-License-Identifier: Apache-2.0
#include "comm/collective_watch.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"

namespace dino {
namespace {

using Seconds = std::chrono::duration<double>;

/// All that is looked at beside the ranks' own calls.
struct Registry {
  std::mutex mutex;
  std::vector<std::shared_ptr<WatchedCollectives>> all;
};
Registry& registry() {
  static Registry made;
  return made;
}

constexpr double grace_seconds = 2;  ///< in which other ranks that wait can report, too
constexpr double last_seconds = 20;  ///< that an abort may take
constexpr double least_hold = 2;     ///< of the watch's thread; less comes of a busy processor

[[noreturn]] void abort_in_any_case(std::string const& report) {
  // An abort waits for other processes; should it hang, this process ends and its launcher sees it.
  std::thread([] {
    std::this_thread::sleep_for(Seconds(last_seconds));
    std::_Exit(static_cast<int>(ExitCode::bug));
  }).detach();
  log::error("{}", report);
  std::this_thread::sleep_for(Seconds(grace_seconds));
  abort_all_ranks("All ranks end here. Start again: the run goes on from its newest checkpoint",
                  static_cast<int>(ExitCode::bug));
}

/// Whether to go on: after so long, unless told to stop.
bool rest(std::stop_token const& stop, Seconds length) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, length, [] { return false; });
  return !stop.stop_requested();
}

std::string describe_other(RankState const& other, PendingCollective const& waiting) {
  auto const& s = other.state.inside || !other.background.inside ? other.state : other.background;
  double const silent = std::min(5.0, waiting.seconds / 2);
  std::string text = fmt::format("\n  rank {}: ", other.rank);
  if (other.state.silent_seconds > silent)
    text += fmt::format("its process has not moved for {:.0f} s; ", other.state.silent_seconds);
  if (s.inside)
    return text + fmt::format("{} in collective {}, {}, for {:.0f} s",
                              s.number == waiting.number && s.name == waiting.name ? "waits, too,"
                                                                                   : "waits",
                              s.number, s.name, s.seconds);
  if (s.number == 0) return text + "in no collective so far";
  return text + fmt::format("in no collective for {:.0f} s; its last was {}, {}", s.seconds,
                            s.number, s.name);
}

}  // namespace

void add_watched(std::shared_ptr<WatchedCollectives> collectives) {
  std::lock_guard const lock(registry().mutex);
  registry().all.push_back(std::move(collectives));
}

void remove_watched(WatchedCollectives const* collectives) {
  std::lock_guard const lock(registry().mutex);
  std::erase_if(registry().all, [&](auto const& one) { return one.get() == collectives; });
}

std::string describe_hang(int rank, PendingCollective const& waiting,
                          std::span<RankState const> others) {
  auto text = fmt::format("rank {} has waited {:.0f} s in collective {}, {}", rank, waiting.seconds,
                          waiting.number, waiting.name);
  if (!others.empty()) text += ". The other ranks of its node:";
  for (auto const& other : others) text += describe_other(other, waiting);
  return text +
         "\nLook at ranks that are elsewhere or do not move (a file system that hangs, a process "
         "that was stopped, a node that is gone). Where waiting is right, give more time: "
         "run.collective_timeout (seconds; 0: no limit)";
}

CollectiveWatch::CollectiveWatch(Communicator const& world, double limit_seconds,
                                 std::function<void(std::string const&)> give_up)
    : rank_(world.rank()),
      limit_(limit_seconds),
      give_up_(give_up ? std::move(give_up) : abort_in_any_case),
      node_(world.split_node()) {
  void* mine = nullptr;
  mpi_check(
      MPI_Win_allocate_shared(sizeof(Records), 1, MPI_INFO_NULL, node_.raw(), &mine, &window_));
  mine_ = new (mine) Records;
  mine_->own.beat();
  std::vector<std::int64_t> const own{world.rank()};
  auto const bytes = node_.all_gather_varying(std::as_bytes(std::span(own)));
  std::vector<std::int64_t> ranks(static_cast<std::size_t>(node_.size()));
  std::memcpy(ranks.data(), bytes.data(), bytes.size());
  for (int r = 0; r < node_.size(); ++r) {
    MPI_Aint size = 0;
    int unit = 0;
    void* address = nullptr;
    mpi_check(MPI_Win_shared_query(window_, r, &size, &unit, &address));
    ranks_.push_back(static_cast<int>(ranks[static_cast<std::size_t>(r)]));
    records_.push_back(static_cast<Records*>(address));
  }
  node_.barrier();  // all records are made
  InCollective::use(&mine_->own);
  thread_ = std::jthread([this](std::stop_token const& stop) { watch(stop); });
  guard_ = std::jthread([this](std::stop_token const& stop) { guard(stop); });
}

CollectiveWatch::~CollectiveWatch() {
  for (auto* const thread : {&thread_, &guard_}) {
    thread->request_stop();
    thread->join();
  }
  InCollective::use(nullptr);
  // Ranks that end by an error alone cannot wait for the others here.
  if (std::uncaught_exceptions() == 0) MPI_Win_free(&window_);
}

Seconds CollectiveWatch::pause() const {
  return Seconds(std::clamp(limit_ / 8, 0.01, 1.0));
}

void CollectiveWatch::end(std::string const& report) {
  if (!ended_.test_and_set()) give_up_(report);
}

void CollectiveWatch::watch(std::stop_token const& stop) {
  do {
    InCollective::record().beat();
    if (auto const found = look()) return end(*found);
    ++looks_;
  } while (rest(stop, pause()));
}

/// The driver of a device may answer the watch no more, as where it holds the rank's own thread
/// within a call. What counts is the time in which this thread runs: a process that was stopped is
/// no fault.
void CollectiveWatch::guard(std::stop_token const& stop) {
  std::int64_t seen = -1;
  double held = 0;
  while (rest(stop, pause())) {
    held = looks_ == seen ? held + pause().count() : 0;
    seen = looks_;
    if (held < std::max(limit_, least_hold)) continue;
    auto const own = InCollective::record().read();
    return end(fmt::format(
        "rank {}: the watch over collectives is held for {:.0f} s, as by the driver of a device "
        "that does not answer. The last collective of the rank's own: {}, {}",
        rank_, held, own.number, own.name));
  }
}

std::optional<std::string> CollectiveWatch::look() {
  auto const own = InCollective::record().read();
  if (own.whole && own.inside && own.seconds > limit_)
    return report({own.name, own.number, own.seconds});
  std::vector<std::shared_ptr<WatchedCollectives>> all;
  {
    std::lock_guard const lock(registry().mutex);
    all = registry().all;
  }
  std::optional<PendingCollective> oldest;
  for (auto const& one : all) {
    auto const pending = one->oldest();
    if (auto const fault = one->fault())
      return fmt::format(
          "rank {}: {}{}", rank_, *fault,
          pending ? fmt::format(". Under way: collective {}, {}", pending->number, pending->name)
                  : "");
    if (pending && (!oldest || pending->number < oldest->number)) oldest = pending;
  }
  publish(oldest);
  if (oldest && oldest->seconds > limit_) return report(*oldest);
  return std::nullopt;
}

/// Shows the other ranks' watches what is under way in the background.
void CollectiveWatch::publish(std::optional<PendingCollective> const& oldest) {
  auto const number = oldest ? oldest->number : 0;
  if (number == published_) return;
  if (oldest)
    mine_->background.enter(oldest->name, number);
  else
    mine_->background.leave();
  published_ = number;
}

std::string CollectiveWatch::report(PendingCollective const& waiting) const {
  std::vector<RankState> others;
  for (std::size_t i = 0; i < ranks_.size(); ++i)
    if (ranks_[i] != rank_)
      others.push_back({ranks_[i], records_[i]->own.read(), records_[i]->background.read()});
  return describe_hang(rank_, waiting, others);
}

}  // namespace dino
