// SPDX-License-Identifier: Apache-2.0
#include "shard/exchange.hpp"

#include <gtest/gtest.h>

#include <numeric>

using namespace dino;
using shard::Exchanger;

namespace {

/// Values that differ from rank to rank.
std::vector<float> values(std::int64_t count, int rank) {
  std::vector<float> out(static_cast<std::size_t>(count));
  std::iota(out.begin(), out.end(), static_cast<float>(100 * rank + 1));
  return out;
}

class Exchanges : public testing::TestWithParam<Exchanger::Path> {
 protected:
  Communicator world = Communicator::world();
  Exchanger exchanger{Host{}, world, GetParam()};
  std::int64_t part = 67, all = part * world.size();
};

TEST_P(Exchanges, GatherTheShareOfEveryRank) {
  auto gathered = std::vector<float>(static_cast<std::size_t>(all), -1.0F);
  auto const mine = view_of(gathered).rows(world.rank() * part, (world.rank() + 1) * part);
  auto const own = values(part, world.rank());
  std::copy(own.begin(), own.end(), mine.data());
  auto const bytes = [](View<float, 1> v) {
    return View<std::byte, 1>{reinterpret_cast<std::byte*>(v.data()), {4 * v.size()}};
  };

  auto exchange = exchanger.all_gather(bytes(mine), bytes(view_of(gathered)));
  exchange.test();
  exchange.wait();

  for (int rank = 0; rank < world.size(); ++rank) {
    auto const part_of = view_of(gathered).rows(rank * part, (rank + 1) * part).span();
    EXPECT_EQ(std::vector<float>(part_of.begin(), part_of.end()), values(part, rank));
  }
  EXPECT_FALSE(exchange.active());
}

TEST_P(Exchanges, SumAndShare) {
  auto sent = values(all, world.rank());
  std::vector<float> received(static_cast<std::size_t>(part));

  exchanger.reduce_scatter_sum(view_of(sent), view_of(received)).wait();

  auto const ranks = world.size();
  for (std::int64_t i = 0; i < part; ++i) {
    auto const element = static_cast<float>(world.rank() * part + i + 1);
    EXPECT_EQ(received[static_cast<std::size_t>(i)],
              static_cast<float>(ranks) * element + static_cast<float>(50 * ranks * (ranks - 1)));
  }
}

TEST_P(Exchanges, SumInPlace) {
  auto sums = values(part, world.rank());

  exchanger.all_reduce_sum(view_of(sums)).wait();

  auto const ranks = world.size();
  for (std::int64_t i = 0; i < part; ++i) {
    EXPECT_EQ(sums[static_cast<std::size_t>(i)],
              static_cast<float>(ranks * (i + 1) + 50 * ranks * (ranks - 1)));
  }
}

INSTANTIATE_TEST_SUITE_P(Paths, Exchanges,
                         testing::Values(Exchanger::Path::in_place, Exchanger::Path::staged));

}  // namespace
