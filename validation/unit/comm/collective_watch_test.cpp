// SPDX-License-Identifier: Apache-2.0
#include "comm/collective_watch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

using namespace dino;
using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

namespace {

/// What a watch reports, for threads that wait for it.
class Report {
 public:
  void set(std::string const& text) {
    std::lock_guard const lock(mutex_);
    text_ = text;
    changed_.notify_all();
  }
  /// The text; "nothing" after a minute without one.
  std::string wait() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, 60s, [&] { return text_.has_value(); });
    return text_.value_or("nothing");
  }
  bool empty() {
    std::lock_guard const lock(mutex_);
    return !text_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<std::string> text_;
};

/// A library in the background that tests tell what to say.
struct Background : WatchedCollectives {
  std::optional<PendingCollective> oldest() override { return pending; }
  std::optional<std::string> fault() override {
    return broken ? std::optional<std::string>("the link is down") : std::nullopt;
  }
  std::optional<PendingCollective> pending;
  std::atomic<bool> broken = false;
};

RankState other(int rank, CollectiveRecord::State const& state) {
  return {rank, state};
}

TEST(CollectiveRecord, TellsWhatIsUnderWay) {
  CollectiveRecord record;
  EXPECT_EQ(record.read().number, 0);

  record.enter("all-gather of student head", 1);
  record.beat();
  auto const inside = record.read();
  EXPECT_TRUE(inside.inside);
  EXPECT_EQ(inside.number, 1);
  EXPECT_EQ(inside.name, "all-gather of student head");
  EXPECT_LT(inside.silent_seconds, 30);
  EXPECT_TRUE(inside.whole);

  record.leave();
  record.enter(std::string(1000, 'x'), 2);
  record.leave();
  auto const outside = record.read();
  EXPECT_FALSE(outside.inside);
  EXPECT_EQ(outside.number, 2);
  EXPECT_EQ(outside.name, std::string(95, 'x'));
}

TEST(CollectiveRecord, IsReadWholeWhileItChanges) {
  CollectiveRecord record;
  std::jthread const writer([&](std::stop_token const& stop) {
    for (int i = 1; !stop.stop_requested(); ++i) {
      record.enter(i % 2 == 1 ? "aaaaaaaaaaaaaaaa" : "bbbbbbbbbbbbbbbbbbbbbbbb", i);
      record.leave();
    }
  });
  for (int whole = 0; whole < 20000;) {
    auto const state = record.read();
    if (state.number == 0 || !state.whole) continue;
    ++whole;
    ASSERT_EQ(state.name, state.number % 2 == 1 ? "aaaaaaaaaaaaaaaa" : "bbbbbbbbbbbbbbbbbbbbbbbb");
  }
}

TEST(Hang, IsDescribedWithWhatTheOtherRanksDo) {
  std::vector<RankState> const others{
      other(0, {.number = 8, .inside = true, .name = "barrier", .seconds = 31}),
      other(1, {.number = 7, .inside = false, .name = "sum over ranks", .seconds = 44}),
      other(3, {.number = 8, .inside = true, .name = "broadcast", .seconds = 12}),
      other(4, {.number = 6, .name = "barrier", .seconds = 50, .silent_seconds = 49}),
      other(5, {}),
      {6,
       {.number = 7, .name = "barrier", .seconds = 52},
       {.number = 8, .inside = true, .name = "barrier", .seconds = 29}}};
  EXPECT_THAT(
      describe_hang(2, {"barrier", 8, 30}, others),
      AllOf(StartsWith("rank 2 has waited 30 s in collective 8, barrier. The other ranks of its "
                       "node:\n"
                       "  rank 0: waits, too, in collective 8, barrier, for 31 s\n"
                       "  rank 1: in no collective for 44 s; its last was 7, sum over ranks\n"
                       "  rank 3: waits in collective 8, broadcast, for 12 s\n"
                       "  rank 4: its process has not moved for 49 s; in no collective for 50 s; "
                       "its last was 6, barrier\n"
                       "  rank 5: in no collective so far\n"
                       "  rank 6: waits, too, in collective 8, barrier, for 29 s\n"),
            HasSubstr("run.collective_timeout")));
}

TEST(Watch, ReportsACollectiveThatTakesTooLong) {
  auto const world = Communicator::world();
  Report report;
  CollectiveWatch const watch(world, 0.05, [&](std::string const& text) { report.set(text); });
  {
    InCollective const inside("all-gather of teacher backbone.blocks.3");
    EXPECT_THAT(report.wait(),
                AllOf(StartsWith("rank " + std::to_string(world.rank()) + " has waited"),
                      HasSubstr("all-gather of teacher backbone.blocks.3")));
  }
}

TEST(Watch, KnowsThatAnotherRankIsElsewhere) {
  auto const world = Communicator::world();
  Report report;
  {
    CollectiveWatch const watch(world, 0.2, [&](std::string const& text) { report.set(text); });
    if (world.rank() == 0 && world.size() > 1) {
      world.barrier();  // the others come after the report
      EXPECT_THAT(report.wait(), HasSubstr("rank 1: in no collective"));
    } else {
      std::this_thread::sleep_for(1s);
      world.barrier();
    }
  }
}

TEST(Watch, KnowsWhatAnotherRankHasInTheBackground) {
  auto const world = Communicator::world();
  bool const first = world.rank() == 0;
  auto const background = std::make_shared<Background>();
  if (!first) background->pending = PendingCollective{"sum between devices", 12, 0};
  add_watched(background);
  Report report;
  {
    CollectiveWatch const watch(world, 0.2, [&](std::string const& text) { report.set(text); });
    std::this_thread::sleep_for(1s);  // others have shown what they have
    if (first && world.size() > 1) {
      InCollective const inside("barrier");
      EXPECT_THAT(report.wait(), HasSubstr("rank 1: waits in collective 12, sum between devices"));
    } else {
      std::this_thread::sleep_for(3s);
    }
  }
  remove_watched(background.get());
}

TEST(Watch, LetsShortCollectivesBe) {
  auto const world = Communicator::world();
  Report report;
  {
    CollectiveWatch const watch(world, 60, [&](std::string const& text) { report.set(text); });
    for (int i = 0; i < 100; ++i) world.barrier();
    std::this_thread::sleep_for(50ms);
  }
  EXPECT_TRUE(report.empty()) << report.wait();
}

TEST(Watch, SeesFaultsAndDelaysInTheBackground) {
  for (bool const broken : {true, false}) {
    Report report;
    auto const background = std::make_shared<Background>();
    background->pending = PendingCollective{"sum over ranks of student head.", 12, 3.0};
    background->broken = broken;
    add_watched(background);
    {
      CollectiveWatch const watch(Communicator::self(), 1,
                                  [&](std::string const& text) { report.set(text); });
      EXPECT_THAT(report.wait(),
                  HasSubstr(broken ? "the link is down. Under way: collective 12, sum over ranks "
                                     "of student head."
                                   : "has waited 3 s in collective 12, sum over ranks of student "
                                     "head."));
    }
    remove_watched(background.get());
    Report silent;
    {
      CollectiveWatch const watch(Communicator::self(), 1,
                                  [&](std::string const& text) { silent.set(text); });
      std::this_thread::sleep_for(20ms);
    }
    EXPECT_TRUE(silent.empty());
  }
}

/// One whose driver does not answer until it is let go.
struct Held : WatchedCollectives {
  std::optional<PendingCollective> oldest() override {
    free.wait(false);
    return std::nullopt;
  }
  std::optional<std::string> fault() override { return std::nullopt; }
  std::atomic<bool> free = false;
};

TEST(Watch, IsItselfWatched) {
  Report report;
  auto const background = std::make_shared<Held>();
  add_watched(background);
  {
    CollectiveWatch const watch(Communicator::self(), 0.1,
                                [&](std::string const& text) { report.set(text); });
    EXPECT_THAT(report.wait(), HasSubstr("the watch over collectives is held for 2 s"));
    background->free = true;
    background->free.notify_all();
  }
  remove_watched(background.get());
}

}  // namespace
