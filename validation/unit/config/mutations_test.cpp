// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/philox.hpp"
#include "config/config.hpp"

namespace dino {
namespace {

/// A valid file with every kind of value, with one to four seeded changes: cut, flipped bits,
/// other bytes, a piece moved.
std::string mutated(std::string text, std::uint64_t seed) {
  Philox random(seed, Purpose::test, 0);
  std::uint64_t const changes = 1 + random.below(4);
  for (std::uint64_t change = 0; change < changes && !text.empty(); ++change) {
    std::size_t const at = random.below(text.size());
    switch (random.below(5)) {
      case 0:
        text.resize(at);
        break;
      case 1:
        text[at] = static_cast<char>(text[at] ^ (1 << random.below(8)));
        break;
      case 2:
        text[at] = static_cast<char>(random.below(256));
        break;
      case 3:
        text[at] = "[]{}=\"'.,#\n-+e_"[random.below(15)];
        break;
      default:
        text.insert(random.below(text.size()), text.substr(at, random.below(40)));
    }
  }
  return text;
}

Config example() {
  return parse_config("", "x",
                      std::vector<std::string>{
                          "run.steps=3", "data.shards=a\tb", "eval.knn_k=[1, 2]", "optim.lr=1e-3",
                          "crops.pairs.ratio=[0.25, 0.75]", "crops.pairs.global_size=[224, 448]",
                          "crops.pairs.local_size=[96, 112]"});
}

enum class Outcome { accepted, refused };

/// Reads, validates and writes; anything but success or a usage error fails the test.
Outcome outcome_of(std::string const& text, std::vector<std::string> const& overrides) {
  try {
    Config const config = parse_config(text, "x.toml", overrides);
    EXPECT_EQ(to_toml(parse_config(to_toml(config), "y.toml", {})), to_toml(config));
    config.validate();
    return Outcome::accepted;
  } catch (Error const& error) {
    EXPECT_EQ(error.code(), ExitCode::usage) << error.what();
    EXPECT_GT(std::string(error.what()).size(), 20U);
    return Outcome::refused;
  }
}

TEST(Mutations, OfAFileAreReadOrRefused) {
  std::string const text = to_toml(example());
  int accepted = 0;
  int refused = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    ++(outcome_of(mutated(text, seed), {}) == Outcome::accepted ? accepted : refused);
  }
  EXPECT_EQ(outcome_of(text, {}), Outcome::accepted);
  EXPECT_GT(accepted, 20);  // digits that changed, files cut after a line
  EXPECT_GT(refused, 1000);
}

TEST(Mutations, OfOverridesAreReadOrRefused) {
  int refused = 0;
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    char const* const texts[] = {"optim.lr=1e-3", "run.dir=\"a b\"", "eval.knn_k=[1, 2]",
                                 "crops.mean=[0.1, 0.2, 0.3]"};
    if (outcome_of("", {mutated(texts[seed % 4], seed)}) == Outcome::refused) ++refused;
  }
  EXPECT_GT(refused, 300);
  EXPECT_LT(refused, 1000);
}

TEST(Mutations, EveryPrefixIsReadOrRefused) {
  std::string const text = to_toml(example());
  for (std::size_t size = 0; size <= text.size(); ++size) {
    SCOPED_TRACE(testing::Message() << "cut at " << size);
    outcome_of(text.substr(0, size), {});
  }
}

TEST(Mutations, DeepNestingIsRefused) {
  EXPECT_EQ(outcome_of("a = " + std::string(100000, '['), {}), Outcome::refused);
  EXPECT_EQ(outcome_of("", {"optim.lr=" + std::string(100000, '[')}), Outcome::refused);
}

}  // namespace
}  // namespace dino
