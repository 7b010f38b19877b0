// SPDX-License-Identifier: Apache-2.0
// Gradients of several micro-batches add up, whatever units they come from.
#include "shard/store.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

using namespace dino;
using namespace dino::shard;
using Store = ParameterStore<float>;

namespace {

constexpr int micro_batches = 4;

/// Every rank gives unit u the gradient (m + 1) 10^u (rank + 1) in micro-batch m.
void expect_sums(std::vector<std::int64_t> const& sizes, std::vector<int> const& order) {
  auto const world = Communicator::world();
  std::vector<UnitSpec> units;
  for (std::size_t u = 0; u < sizes.size(); ++u)
    units.push_back({.prefix = std::to_string(u) + ".",
                     .parameters = {{.name = "weight", .shape = {sizes[u]}, .init = {}}}});
  auto const strategy = Strategy::named("full", world.size(), std::nullopt, 1);
  Store store(Host{}, ShardGroups::make(world, strategy.group_size), strategy, units,
              Role::student);
  auto const scale = [](int unit) { return std::pow(10.0F, static_cast<float>(unit)); };
  for (int m = 0; m < micro_batches; ++m) {
    for (int const unit : order) {
      for (auto& value : store.gradient(unit).flat().span())
        value += static_cast<float>((m + 1) * (world.rank() + 1)) * scale(unit);
      store.reduce(unit, m + 1 == micro_batches ? Store::Last::yes : Store::Last::no);
    }
  }
  store.finish_gradients();

  auto const ranks = static_cast<float>(world.size() * (world.size() + 1) / 2);
  for (int unit = 0; unit < store.units(); ++unit) {
    bool const used = std::find(order.begin(), order.end(), unit) != order.end();
    for (auto const value : store.gradient_part(unit).span())
      ASSERT_FLOAT_EQ(value, used ? 10.0F * ranks * scale(unit) : 0.0F) << "unit " << unit;
  }
}

TEST(Gradients, AddUpOverMicroBatches) {
  expect_sums({1000, 500, 500, 500, 100}, {4, 3, 2, 1, 0});
}

TEST(Gradients, AddUpOfUnitsWhoseSizesAreEqualByChance) {
  expect_sums({1000, 500, 100, 1000, 100}, {4, 3, 2, 1, 0});
}

TEST(Gradients, AddUpOfOneUnitAgainAndAgain) {
  expect_sums({500, 500}, {0});
}

}  // namespace
