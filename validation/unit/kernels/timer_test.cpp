// SPDX-License-Identifier: Apache-2.0
#include "kernels/timer.hpp"

#include "kernels/elementwise.hpp"
#include "unit/kernels/kernel_test.hpp"

using namespace dino;
using namespace dino::test;

namespace {

Space space_under_test() {
  return device_wanted() ? device_space(find_devices().devices.at(0).ordinal, {}) : Space(Host{});
}

TEST(Timer, TellsTheTimeBetweenMoments) {
  auto const space = space_under_test();
  Buffer const memory(space, std::int64_t{1} << 20);
  auto const timer = make_timer(space);

  for (int step = 0; step < 2; ++step) {
    EXPECT_TRUE(timer->take().empty());
    for (int i = 0; i < 3; ++i) {
      timer->mark();
      dino::run(space, Fill<float>{.y = memory.as<float>()});
    }
    timer->mark();

    auto const seconds = timer->take();
    ASSERT_EQ(seconds.size(), 3U);
    for (auto const s : seconds) EXPECT_GT(s, 0);
  }
}

TEST(Launches, AreCountedOnADevice) {
  auto const space = space_under_test();
  Buffer const memory(space, 64);
  auto const before = launches(space);
  std::vector<float> values(16, 1.0F);

  dino::run(space, Fill<float>{.y = memory.as<float>()});
  dino::run(space, Fill<float>{.y = memory.as<float>()});
  copy_to_space(space, memory.as<float>(), std::span<float const>(values));
  for (int i = 0; i < 3; ++i)
    copy_to_host(space, std::span(values), View<float const, 1>(memory.as<float>()));

  auto const queued = launches(space) - before;
  int const one = device_wanted() ? 1 : 0;
  EXPECT_EQ(queued.kernels, 2 * one);
  EXPECT_EQ(queued.copies_in, one);
  EXPECT_EQ(queued.copies_out, 3 * one);
  EXPECT_EQ(queued.products, 0);
}

TEST(MemoryState, FallsByWhatIsTaken) {
  auto const space = space_under_test();
  auto const before = memory_state(space);
  ASSERT_EQ(before.has_value(), device_wanted());
  if (!before) return;
  auto const bytes = std::int64_t{256} << 20;

  Buffer const memory(space, bytes);

  auto const after = *memory_state(space);
  EXPECT_EQ(after.total, before->total);
  EXPECT_EQ(after.bus, find_devices().devices.at(0).bus);
  EXPECT_GE(before->free - after.free, bytes);
  EXPECT_LE(before->free, before->total);
}

}  // namespace
