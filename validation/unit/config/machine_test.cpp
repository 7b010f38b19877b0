// SPDX-License-Identifier: Apache-2.0
#include "config/machine.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.hpp"

namespace dino {
namespace {

std::string const complete = R"(name = "two nodes"
ranks_per_node = 4
memory_gib = 12
fp32_tflops = 0.1
bf16_tflops = 0.2
matrix_efficiency = 0.9
node_bandwidth = 8
network_bandwidth = 1.5
bandwidth_efficiency = 0.5
overlap = 0
)";

/// What is said of the complete file with `line` in place of the one of the same key.
std::string refusal(std::string const& line) {
  auto const key = line.substr(0, line.find(' '));
  auto text = complete;
  if (auto const at = text.find(key + " ="); at != std::string::npos)
    text.erase(at, text.find('\n', at) + 1 - at);
  try {
    parse_machine(text + line + "\n", "box.toml");
  } catch (Error const& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "";
}

TEST(MachineFile, IsReadWithWholeNumbersForFractions) {
  auto const machine = parse_machine(complete, "box.toml");

  EXPECT_EQ(machine.name, "two nodes");
  EXPECT_EQ(machine.ranks_per_node, 4);
  EXPECT_EQ(machine.memory_gib, 12);
  EXPECT_EQ(machine.network_bandwidth, 1.5);
  EXPECT_EQ(machine.overlap, 0);
}

TEST(MachineFile, OfAnotherTypeIsRefusedWithItsLine) {
  EXPECT_EQ(refusal("memory_gib = \"80 GB\""),
            "invalid memory_gib in box.toml:10 (expected a number: memory of a rank, GiB)");
  EXPECT_NE(refusal("ranks_per_node = 1.5").find("expected an integer"), std::string::npos);
  EXPECT_NE(refusal("ranks_per_node = [8]").find("expected an integer"), std::string::npos);
  EXPECT_NE(refusal("name = 5").find("expected a string"), std::string::npos);
}

TEST(MachineFile, OutOfRangeIsRefusedWithARemedy) {
  EXPECT_EQ(refusal("matrix_efficiency = 40"),
            "invalid matrix_efficiency=40.0 (must be in (0, 1]). Try matrix_efficiency=0.5");
  for (auto const* const line :
       {"ranks_per_node = 0", "memory_gib = 0", "fp32_tflops = -1", "bf16_tflops = inf",
        "node_bandwidth = 0", "network_bandwidth = nan", "bandwidth_efficiency = 1.1",
        "overlap = -0.1", "overlap = nan"})
    EXPECT_NE(refusal(line).find("(must be "), std::string::npos) << line;
}

TEST(MachineFile, UnknownKeyNamesTheNearest) {
  EXPECT_EQ(refusal("memory_gb = 80"),
            "unknown key \"memory_gb\" in box.toml:11. Did you mean memory_gib?");
  EXPECT_NE(refusal("[network]").find("unknown key"), std::string::npos);
}

TEST(MachineFile, LacksNoKey) {
  auto text = complete;
  text.erase(text.find("overlap"));
  try {
    parse_machine(text, "box.toml");
    FAIL() << "accepted";
  } catch (Error const& error) {
    EXPECT_NE(std::string(error.what()).find("box.toml lacks overlap ("), std::string::npos);
  }
  EXPECT_THROW(parse_machine("", "box.toml"), Error);
  EXPECT_THROW(parse_machine("name = ", "box.toml"), Error);
  EXPECT_THROW(load_machine("no_such_file.toml"), Error);
  EXPECT_THROW(load_machine("."), Error);
}

TEST(MachineFile, OfEveryShippedMachineIsValid) {
  char const* const source = std::getenv("DINO_SOURCE_DIR");
  int count = 0;
  for (auto const& entry : std::filesystem::directory_iterator(
           std::filesystem::path(source == nullptr ? "." : source) / "jobs/machines")) {
    SCOPED_TRACE(entry.path());
    EXPECT_NO_THROW(load_machine(entry.path().string()));
    ++count;
  }
  EXPECT_GE(count, 3);
}

}  // namespace
}  // namespace dino
