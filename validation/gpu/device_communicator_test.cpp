// SPDX-License-Identifier: Apache-2.0
// NCCL between the devices of the ranks; where ranks have to share one, that this is found.
#include "comm/device_communicator.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "comm/collective_watch.hpp"
#include "kernels/device.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/memory.hpp"

using namespace dino;

namespace {

/// Values that differ from rank to rank.
std::vector<float> values(std::int64_t count, int rank) {
  std::vector<float> out(static_cast<std::size_t>(count));
  std::iota(out.begin(), out.end(), static_cast<float>(100 * rank + 1));
  return out;
}

class BetweenDevices : public testing::Test {
 protected:
  void SetUp() override {
    auto const list = find_devices();
    if (list.devices.empty() || nccl_version().empty()) {
      std::printf("[  SKIPPED ] no device, or no NCCL: %s\n", list.reason.c_str());
      GTEST_SKIP();
    }
    auto const ordinal = choose_device("cuda", list, world.local_rank()).value();
    space = device_space(ordinal, {});
    if (static_cast<int>(list.devices.size()) < world.size()) {
      EXPECT_THAT(nccl_obstacle(world, space), testing::HasSubstr("share the device"));
      return;
    }
    ASSERT_EQ(nccl_obstacle(world, space), "");
    devices = std::make_unique<DeviceCommunicator>(space, world, "all ranks");
  }
  View<float, 1> there(std::vector<float> const& from) {
    memory.emplace_back(space, static_cast<std::int64_t>(4 * from.size()));
    auto const view = memory.back().as<float>();
    copy_to_space(space, view, std::span<float const>(from));
    return view;
  }
  std::vector<float> back(View<float, 1> view) {
    std::vector<float> out(static_cast<std::size_t>(view.size()));
    copy_to_host(space, std::span(out), View<float const, 1>(view));
    return out;
  }

  Communicator world = Communicator::world();
  Space space = Host{};
  std::vector<Buffer> memory;
  std::unique_ptr<DeviceCommunicator> devices;
  std::int64_t part = 6700;
};

TEST_F(BetweenDevices, GatherSumAndShare) {
  if (!devices) return;
  auto const ranks = world.size();
  std::vector<float> all(static_cast<std::size_t>(part * ranks), -1.0F);
  auto const gathered = there(all);
  auto const mine = gathered.rows(world.rank() * part, (world.rank() + 1) * part);
  copy_to_space(space, mine, std::span<float const>(values(part, world.rank())));
  auto const sent = there(values(part * ranks, world.rank())), received = there(values(part, 0)),
             sums = there(values(part, world.rank()));

  auto const gather = devices->all_gather(mine.data(), gathered.data(), 4 * part, "a test");
  auto const scatter = devices->reduce_scatter_sum(sent.data(), received.data(), part, "a test");
  auto const sum = devices->all_reduce_sum(sums.data(), part, "a test");
  for (auto const ticket : {gather, scatter, sum}) devices->wait(ticket);

  auto const all_gathered = back(gathered), shared = back(received), summed = back(sums);
  auto const tail = static_cast<float>(50 * ranks * (ranks - 1));
  for (std::int64_t i = 0; i < part; ++i) {
    auto const k = static_cast<std::size_t>(i);
    for (int rank = 0; rank < ranks; ++rank)
      ASSERT_EQ(all_gathered[static_cast<std::size_t>(rank * part + i)],
                static_cast<float>(100 * rank + 1 + i));
    ASSERT_EQ(shared[k], static_cast<float>(ranks * (world.rank() * part + i + 1)) + tail);
    ASSERT_EQ(summed[k], static_cast<float>(ranks * (i + 1)) + tail);
  }
}

// More collectives than there are events, each behind an operation and before one.
TEST_F(BetweenDevices, FollowTheOperationsBeforeThemAndPrecedeThoseAfter) {
  if (!devices) return;
  auto const sums = there(std::vector<float>(static_cast<std::size_t>(part), 1.0F)),
             ones = there(std::vector<float>(static_cast<std::size_t>(part), 1.0F));
  auto expected = 1.0;
  for (int i = 0; i < 300; ++i) {
    run(space, Axpy<float>{.a = 1, .x = ones, .y = sums});
    devices->wait(devices->all_reduce_sum(sums.data(), part, "a test"));
    run(space, Scale{.x = sums, .factor = 1.0F / static_cast<float>(world.size())});
    expected += 1;
  }
  for (auto const value : back(sums)) ASSERT_FLOAT_EQ(value, static_cast<float>(expected));
}

TEST_F(BetweenDevices, AreWatched) {
  if (!devices) return;
  bool called = false;
  {
    CollectiveWatch const watch(world, 0.5, [&](std::string const&) { called = true; });
    auto const sums = there(values(part, 0));
    for (int i = 0; i < 1000; ++i) devices->wait(devices->all_reduce_sum(sums.data(), part, "it"));
    back(sums);
  }
  EXPECT_FALSE(called);
}

}  // namespace
