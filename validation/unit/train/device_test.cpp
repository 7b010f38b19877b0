// SPDX-License-Identifier: Apache-2.0
#include "train/device.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"

using namespace dino;
using namespace dino::train;

namespace {

Binding on_device(std::string node, std::string kind, std::string bus) {
  return {.node = std::move(node), .kind = kind, .bus = bus, .text = kind + " at " + bus};
}

Binding on_host(std::string node) {
  return {.node = std::move(node), .kind = "host", .bus = {}, .text = "host"};
}

std::string refusal(std::vector<Binding> const& bindings) {
  try {
    require_equal_devices(bindings);
  } catch (Error const& error) {
    return error.code() == ExitCode::usage ? error.what() : "another exit code";
  }
  return "nothing was thrown";
}

TEST(MixedDevices, AreRefused) {
  EXPECT_EQ(refusal({on_host("a"), on_host("b")}), "nothing was thrown");
  EXPECT_EQ(refusal({on_device("a", "H200", "01"), on_device("a", "H200", "02")}),
            "nothing was thrown");
  EXPECT_THAT(refusal({on_device("a", "H200", "01"), on_host("b")}),
              testing::StartsWith("devices are mixed: rank 0 on a has H200, rank 1 on b has host"));
  EXPECT_THAT(refusal({on_device("a", "H200", "01"), on_device("b", "A100", "01")}),
              testing::HasSubstr("rank 1 on b has A100"));
}

TEST(BindingTable, NamesTheDeviceOfEachRank) {
  EXPECT_EQ(binding_table({on_device("a", "H200", "01"), on_device("b", "H200", "01")}),
            "rank 0 on a: H200 at 01\nrank 1 on b: H200 at 01");
}

TEST(BindingTable, WarnsOfSharedDevices) {
  EXPECT_THAT(
      binding_table({on_device("a", "H200", "01"), on_device("a", "H200", "01"),
                     on_device("a", "H200", "02")}),
      testing::EndsWith("\n2 ranks share 01 on a: their data goes through the host, slowly"));
  EXPECT_THAT(binding_table({on_host("a"), on_host("a")}),
              testing::Not(testing::HasSubstr("share")));
}

TEST(MakeSpace, IsTheHostWhereThatIsWished) {
  EXPECT_TRUE(is_host(make_space(Communicator::self(), "host")));
}

}  // namespace
