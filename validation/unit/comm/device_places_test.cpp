// SPDX-License-Identifier: Apache-2.0
#include "comm/device_places.hpp"

#include <gtest/gtest.h>

using dino::shared_device;

TEST(SharedDevice, NamesTheFirstTwoRanksAndTheDevice) {
  EXPECT_EQ(shared_device({"a 0000:01:00.0", "a 0000:02:00.0", "a 0000:01:00.0", "a 0000:02:00.0"}),
            "ranks 0 and 2 share the device 0000:01:00.0 of a");
}

TEST(SharedDevice, IsNoneWhereEveryRankHasItsOwn) {
  EXPECT_EQ(shared_device({"a 0000:01:00.0"}), "");
  EXPECT_EQ(shared_device({"a 0000:01:00.0", "b 0000:01:00.0", "a 0000:02:00.0"}), "");
}
