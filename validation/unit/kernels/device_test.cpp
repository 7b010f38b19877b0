// SPDX-License-Identifier: Apache-2.0
#include "kernels/device.hpp"

#include "unit/kernels/kernel_test.hpp"

using namespace dino;
using namespace dino::test;

namespace {

DeviceInfo device(int ordinal, int major) {
  return {.ordinal = ordinal,
          .name = "Accelerator",
          .bus = "0000:01:00.0",
          .major = major,
          .minor = 0,
          .memory = std::int64_t{80} << 30};
}

DeviceList two_devices() {
  return usable_devices({device(0, 9), device(1, 9)});
}

TEST(DeviceChoice, DealsTheDevicesOfANodeToItsRanksInTurn) {
  EXPECT_EQ(choose_device("auto", two_devices(), 0), 0);
  EXPECT_EQ(choose_device("cuda", two_devices(), 1), 1);
  EXPECT_EQ(choose_device("cuda", two_devices(), 2), 0);
}

TEST(DeviceChoice, TakesTheHostWhereItIsWishedOrNothingElseIsThere) {
  EXPECT_EQ(choose_device("host", two_devices(), 0), std::nullopt);
  EXPECT_EQ(choose_device("auto", {.devices = {}, .reason = "none"}, 0), std::nullopt);
}

TEST(DeviceChoice, RefusesCudaWithoutADeviceAndSaysWhy) {
  DeviceList const none{.devices = {}, .reason = "no NVIDIA driver is installed"};
  EXPECT_EQ(refusal([&] { choose_device("cuda", none, 0); }),
            "run.device=cuda, but there is no device: no NVIDIA driver is installed. Use "
            "run.device=host, or auto");
}

TEST(UsableDevices, AreThoseThatTheProgramIsCompiledFor) {
  auto const list = usable_devices({device(0, 7), device(1, 8)});
  ASSERT_EQ(list.devices.size(), 1U);
  EXPECT_EQ(list.devices[0].ordinal, 1);
  EXPECT_EQ(choose_device("auto", list, 3), 1);

  EXPECT_EQ(usable_devices({device(0, 7)}).reason,
            "cuda:0 Accelerator (0000:01:00.0, compute capability 7.0, 80 GiB) is too old: compute "
            "capability 8.0 or newer is needed");
  EXPECT_THAT(usable_devices({}).reason, testing::HasSubstr("CUDA_VISIBLE_DEVICES"));
}

TEST(NoDeviceReason, TellsAMissingDriverFromAnOldOne) {
  EXPECT_EQ(no_device_reason(0, 13000, "whatever"), "no NVIDIA driver is installed");
  EXPECT_EQ(no_device_reason(12040, 13000, "whatever"),
            "the NVIDIA driver is too old: it supports CUDA 12.4, this build needs 13.0");
  EXPECT_EQ(no_device_reason(13000, 13010, "all devices are busy"), "all devices are busy");
}

TEST(OutOfMemory, SaysWhatIsNeededAndFree) {
  auto const gib = std::int64_t{1} << 30;
  EXPECT_THAT(out_of_memory_text(3 * gib, gib / 2, 80 * gib, "cuda:1"),
              testing::StartsWith("out of memory on cuda:1: 3.00 GiB more are needed, 0.50 of "
                                  "80.00 GiB are free. Use more ranks"));
}

TEST(FindDevices, NamesDevicesOrAReason) {
  auto const list = find_devices();
  EXPECT_NE(list.devices.empty(), list.reason.empty());
}

TEST(HostSpace, HasNothingToWaitFor) {
  Space const host{Host{}};
  EXPECT_TRUE(is_host(host));
  EXPECT_FALSE(is_dry(host));
  synchronize(host);
}

}  // namespace
