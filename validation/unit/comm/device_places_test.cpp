// SPDX-License-Identifier: Apache-2.0
#include "comm/device_places.hpp"

#include <gtest/gtest.h>

using dino::device_place;
using dino::shared_device;

TEST(SharedDevice, NamesTheFirstTwoRanksAndTheDevice) {
  EXPECT_EQ(shared_device(
                {"s 0000:01:00.0 a", "s 0000:02:00.0 a", "s 0000:01:00.0 a", "s 0000:02:00.0 a"}),
            "ranks 0 and 2 share the device 0000:01:00.0 of a");
}

TEST(SharedDevice, IsNoneWhereEveryRankHasItsOwn) {
  EXPECT_EQ(shared_device({"s 0000:01:00.0 a"}), "");
  EXPECT_EQ(shared_device({"s 0000:01:00.0 a", "t 0000:01:00.0 b", "s 0000:02:00.0 a"}), "");
}

TEST(SharedDevice, KnowsSystemsByThemselvesAndNotByTheirNames) {
  EXPECT_EQ(shared_device({"s 0000:01:00.0 node", "t 0000:01:00.0 node"}), "");
  EXPECT_NE(shared_device({"s 0000:01:00.0 box1", "s 0000:01:00.0 box2"}), "");
}

TEST(DevicePlace, IsTheSameForTheSameDeviceAlone) {
  EXPECT_EQ(device_place("0000:01:00.0"), device_place("0000:01:00.0"));
  EXPECT_NE(device_place("0000:01:00.0"), device_place("0000:02:00.0"));
}
