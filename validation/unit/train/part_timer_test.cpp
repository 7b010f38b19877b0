// SPDX-License-Identifier: Apache-2.0
#include "train/part_timer.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <utility>

using namespace dino;
using namespace dino::train;

namespace {

/// Time goes on when the test says so.
struct ScriptedTimer : Timer {
  explicit ScriptedTimer(double const& clock) : now(clock) {}
  void mark() override { moments.push_back(now); }
  std::vector<double> take() override {
    std::vector<double> seconds;
    for (std::size_t i = 1; i < moments.size(); ++i) seconds.push_back(moments[i] - moments[i - 1]);
    moments.clear();
    return seconds;
  }
  double const& now;
  std::vector<double> moments;
};

TEST(PartTimer, DividesAStepAmongItsParts) {
  double now = 0;
  PartTimer timer;
  timer.measure(std::make_unique<ScriptedTimer>(now));
  { Stopwatch const before(timer, Part::teacher); }  // outside of any step

  for (int step = 0; step < 2; ++step) {
    now += 100;
    timer.begin_step();
    now += 1;
    {
      Stopwatch const loss(timer, Part::loss);
      now += 2;
      {
        Stopwatch const teacher(timer, Part::teacher);
        now += 4;
      }
      now += 8;
    }
    now += 16;
    {
      Stopwatch const teacher(timer, Part::teacher);
      now += 32;
    }
    now += 64;
    auto const times = timer.end_step();

    EXPECT_EQ(times[Part::loss], 10) << step;
    EXPECT_EQ(times[Part::teacher], 36) << step;
    EXPECT_EQ(times[Part::other], 81) << step;
    EXPECT_EQ(times[Part::backward], 0) << step;
  }
}

TEST(PartTimer, MeasuresNothingBeforeItIsAsked) {
  PartTimer timer;
  timer.begin_step();
  { Stopwatch const watch(timer, Part::loss); }
  EXPECT_EQ(timer.end_step()[Part::loss], 0);
}

}  // namespace
