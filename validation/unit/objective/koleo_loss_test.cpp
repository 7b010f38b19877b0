// SPDX-License-Identifier: Apache-2.0
#include "objective/koleo_loss.hpp"

#include "unit/kernels/kernel_test.hpp"
#include "unit/objective/objective_reference.hpp"

using namespace dino;
using namespace dino::test;

namespace {

struct Outcome {
  double loss;
  std::vector<float> gradient;
};

Outcome koleo_of(std::vector<float> const& x, std::int64_t width, KoleoSettings settings,
                 std::int64_t first = 0) {
  auto const rows = static_cast<std::int64_t>(x.size()) / width;
  if (settings.global_batch == 0) settings.global_batch = rows;
  Arena arena(host, 1 << 24);
  Outcome out{0, std::vector<float>(x.size(), NAN)};
  KoleoLoss loss(host, width);
  loss.begin_step();
  loss.add(arena, Communicator::self(), as<2>(x, {rows, width}), first, settings,
           as<2>(out.gradient, {rows, width}));
  EXPECT_EQ(arena.mark(), 0);
  out.loss = loss.local_loss();
  return out;
}

KoleoSettings groups_of(std::optional<std::int64_t> size, std::int64_t topk = 1) {
  return {.group_size = size, .topk = topk, .global_batch = 0};
}

TEST(KoleoLossTest, GivesTheNumbersWorkedOutByHand) {
  auto const out = koleo_of({1, 0, 0, .8F, .6F, 0, 0, 1, 1, -1, .2F, .3F}, 3, groups_of({}));

  EXPECT_LE(deviation(Doubles{out.loss}, Doubles{.1753439384}), 1e-9 + tolerance<float>(3));
}

TEST(KoleoLossTest, AgreesWithTheDefinitionAndItsGradient) {
  struct Sizes {
    std::int64_t rows, width, group, topk;
  };
  for (auto const& s : {Sizes{2, 3, 2, 1},
                        {9, 12, 9, 1},
                        {9, 12, 9, 2},
                        {12, 5, 4, 1},
                        {12, 5, 6, 3},
                        {11, 5, 4, 2},
                        {13, 7, 6, 1},
                        {10, 17, 100, 1}}) {
    SCOPED_TRACE(testing::Message() << s.rows << " in groups of " << s.group);
    auto const x = random_values<float>(s.rows * s.width, 5);
    auto const width = static_cast<std::size_t>(s.width);
    auto const f = [&](Doubles const& v) {
      return koleo(v, width, static_cast<std::size_t>(s.group), static_cast<std::size_t>(s.topk));
    };
    auto settings = groups_of(s.group, s.topk);
    settings.loss_weight = 0.1;

    auto const out = koleo_of(x, s.width, settings);

    auto expected = numeric_gradient(f, doubles(x));
    for (auto& v : expected) v *= 0.1;
    EXPECT_LE(deviation(Doubles{out.loss}, Doubles{f(doubles(x))}), tolerance<float>(s.rows));
    EXPECT_LE(deviation_from(out.gradient, expected), tolerance<float>(s.rows * s.topk));
  }
}

// More rows than are compared at once.
TEST(KoleoLossTest, FindsNeighboursInLargeGroups) {
  auto const x = random_values<float>(300 * 3, 6);

  auto const out = koleo_of(x, 3, groups_of({}));

  auto const expected = koleo(doubles(x), 3, 300, 1);
  EXPECT_LE(deviation(Doubles{out.loss}, Doubles{expected}), tolerance<float>(300));
}

TEST(KoleoLossTest, IsFiniteWhereFeaturesAreEqualOrAlone) {
  std::vector<float> const equal(4 * 6, 0.5F);
  auto const same = koleo_of(equal, 6, groups_of({}));
  auto const one = koleo_of({1, 2, 3}, 3, groups_of({}));
  auto const zero = koleo_of(std::vector<float>(6, 0.0F), 3, groups_of({}));

  auto const of_equal = -std::log(1e-8 * std::sqrt(6.0) + 1e-8);
  EXPECT_LE(deviation(Doubles{same.loss}, Doubles{of_equal}), tolerance<float>());
  EXPECT_LE(deviation(Doubles{one.loss}, Doubles{-std::log(1e-8 * std::sqrt(3.0) + 1e-8)}),
            tolerance<float>());
  EXPECT_EQ(one.gradient, std::vector<float>(3, 0.0F));
  for (auto const& out : {same, zero}) {
    EXPECT_TRUE(std::isfinite(out.loss));
    for (auto const v : out.gradient) EXPECT_TRUE(std::isfinite(v));
  }
}

TEST(KoleoLossTest, SizesItsArenaByADryRun) {
  Tally tally;
  Space const dry = Dry{&tally};
  Arena planned(dry, Arena::no_limit);
  std::vector<float> x(3 * 5), gradient(3 * 5);
  KoleoSettings const settings{.group_size = {}, .topk = 1, .global_batch = 3};
  KoleoLoss(dry, 5).add(planned, Communicator::self(), as<2>(std::as_const(x), {3, 5}), 0, settings,
                        as<2>(gradient, {3, 5}));

  Arena arena(host, planned.high_water());
  KoleoLoss loss(host, 5);
  loss.begin_step();
  loss.add(arena, Communicator::self(), as<2>(std::as_const(x), {3, 5}), 0, settings,
           as<2>(gradient, {3, 5}));

  EXPECT_EQ(arena.high_water(), planned.high_water());
}

TEST(KoleoLossTest, RefusesGroupsThatCannotBe) {
  std::vector<float> const x(12, 1.0F);
  EXPECT_THAT(refusal([&] { koleo_of(x, 3, groups_of(3, 2)); }),
              testing::HasSubstr("koleo.topk=2 neighbours in a group of 1 samples"));
  EXPECT_THAT(refusal([&] { koleo_of(x, 3, groups_of(3, 0)); }),
              testing::HasSubstr("invalid koleo.topk=0"));
  EXPECT_THAT(refusal([&] { koleo_of(x, 3, groups_of(0)); }),
              testing::HasSubstr("invalid KoLeo group size 0"));
  KoleoSettings const larger{.group_size = 8, .topk = 1, .global_batch = 8};
  EXPECT_THAT(refusal([&] { koleo_of(x, 3, larger); }),
              testing::HasSubstr("[0, 8) of the global batch, a KoLeo group, are not all in one"));
  KoleoSettings const halves{.group_size = 4, .topk = 1, .global_batch = 8};
  EXPECT_THAT(refusal([&] { koleo_of(x, 3, halves, 2); }), testing::HasSubstr("[0, 4)"));
  EXPECT_EQ(refusal([&] { koleo_of(x, 3, halves, 4); }), "nothing was thrown");
}

}  // namespace
