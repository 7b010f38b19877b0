// SPDX-License-Identifier: Apache-2.0
// Steps differ in the sizes of their crops and in the data set that their batch comes from.
#include "data/batch_kinds.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "base/error.hpp"
#include "data/loader.hpp"
#include "test_shards.hpp"

namespace dino {
namespace {

using Sizes = std::vector<config::CropSizes>;

config::CropPairs published_pairs() {  // method.md 8.3
  return {.global_size = {512, 768, 768, 768, 768},
          .local_size = {112, 112, 168, 224, 336},
          .gram_teacher_crops_size = {768, 1152, 1152, 1152, 1152},
          .ratio = {0.3, 0.3, 0.3, 0.05, 0.05}};
}

/// How far a count of `n` draws may be from its mean: five standard deviations.
double bound(double n, double share) {
  return 5 * std::sqrt(n * share * (1 - share));
}

TEST(CropSizes, AreThoseOfThePairsOrTheOneOfTheCrops) {
  config::Crops crops;
  crops.gram_teacher_crops_size = 448;

  EXPECT_EQ(config::crop_sizes(crops), (Sizes{{224, 96, 448, 1.0}}));
  crops.pairs = {.global_size = {64, 96}, .local_size = {32, 48}, .ratio = {0.25, 0.75}};
  EXPECT_EQ(config::crop_sizes(crops), (Sizes{{64, 32, {}, 0.25}, {96, 48, {}, 0.75}}));
}

TEST(CropSizes, OfStepsHaveTheirShares) {
  config::Crops crops;
  crops.pairs = published_pairs();
  auto const sizes = config::crop_sizes(crops);
  constexpr int steps = 20000;
  std::map<std::int64_t, int> count;  // by local and global size

  for (int step = 0; step < steps; ++step) {
    auto const& chosen = sizes_at(sizes, 3, step);
    ++count[1000 * chosen.global + chosen.local];
  }

  for (auto const& size : sizes) {
    EXPECT_NEAR(count[1000 * size.global + size.local], steps * size.share,
                bound(steps, size.share));
  }
}

TEST(CropSizes, OfAStepAreAFunctionOfSeedAndStep) {
  Sizes const two{{64, 32, {}, 0.5}, {96, 48, {}, 0.5}};
  int same_of_seeds = 0, same_of_steps = 0;
  for (int step = 0; step < 1000; ++step) {
    EXPECT_EQ(&sizes_at(two, 1, step), &sizes_at(two, 1, step));
    same_of_seeds += sizes_at(two, 1, step) == sizes_at(two, 2, step) ? 1 : 0;
    same_of_steps += sizes_at(two, 1, step) == sizes_at(two, 1, step + 1) ? 1 : 0;
  }
  EXPECT_NEAR(same_of_seeds, 500, bound(1000, 0.5));
  EXPECT_NEAR(same_of_steps, 500, bound(1000, 0.5));
}

TEST(DataMix, TakesItsShareOfTheStepsAndCountsThem) {
  DataMix const mix(0.1, 7);
  std::int64_t count = 0;
  for (std::int64_t step = 0; step < 20000; ++step) {
    if (step % 997 == 0) {
      EXPECT_EQ(mix.second_before(step), count) << step;
    }
    count += mix.second(step) ? 1 : 0;
  }

  EXPECT_NEAR(static_cast<double>(count), 2000, bound(20000, 0.1));
  EXPECT_EQ(DataMix(0, 7).second_before(20000), 0);
}

// The sizes of a step say nothing of its data set.
TEST(DataMix, IsDrawnApartFromTheSizes) {
  Sizes const two{{64, 32, {}, 0.5}, {96, 48, {}, 0.5}};
  DataMix const mix(0.5, 7);
  int both = 0;
  for (int step = 0; step < 4000; ++step)
    both += mix.second(step) && sizes_at(two, 7, step).global == 96 ? 1 : 0;

  EXPECT_NEAR(both, 1000, bound(4000, 0.25));
}

constexpr std::int64_t first_images = 23, second_images = 11, batch = 5;

Loader::Options mixed_options() {
  Loader::Options options;
  options.data.batch_size = batch;
  options.data.block = 4;
  options.data.window = 2;
  options.data.mix.share = 0.4;
  options.crops.local_count = 2;
  options.crops.flip_probability = options.crops.jitter_probability = 0;
  options.crops.pairs = {.global_size = {16, 24, 8},
                         .local_size = {8, 8, 16},
                         .gram_teacher_crops_size = {24, 24, 16},
                         .ratio = {0.4, 0.3, 0.3}};
  options.seed = 11;
  options.slice = {.begin = 0, .end = batch, .micro_batches = 1};
  return options;
}

struct Seen {
  bool mixed_in;
  std::array<std::int64_t, 3> sizes;
  std::vector<std::int64_t> positions;
  UploadVector<float> global, local, gram;
  friend bool operator==(Seen const&, Seen const&) = default;
};

Seen seen(CropBatch const& made) {
  return {made.mixed_in,     {made.global.size, made.local.size, made.gram.size},
          made.positions,    made.global.pixels,
          made.local.pixels, made.gram.pixels};
}

class MixedLoader : public testing::Test {
 protected:
  Loader loader(Loader::Options const& options) const { return {first_, options, second_}; }
  io::ShardSet first_ = io::ShardSet::open(test::write_shards("main", first_images));
  io::ShardSet second_ = io::ShardSet::open(test::write_shards("mixed_in", second_images));
};

TEST_F(MixedLoader, GivesEachStepTheSizesAndTheSetThatWereDrawn) {
  auto const options = mixed_options();
  auto const sizes = config::crop_sizes(options.crops);
  DataMix const mix(options.data.mix.share, options.seed);
  auto all = loader(options);
  std::set<std::int64_t> globals;
  int mixed_in = 0;
  for (std::int64_t step = 0; step < 40; ++step) {
    auto batch_of_step = all.next();
    auto const& size = sizes_at(sizes, options.seed, step);

    EXPECT_EQ(batch_of_step.mixed_in, mix.second(step));
    EXPECT_EQ(batch_of_step.global.size, size.global);
    EXPECT_EQ(batch_of_step.local.size, size.local);
    EXPECT_EQ(batch_of_step.gram.size, *size.gram);
    EXPECT_EQ(std::ssize(batch_of_step.gram.pixels), 2 * batch * 3 * *size.gram * *size.gram);
    EXPECT_EQ(batch_of_step.first_position, step * batch);

    globals.insert(size.global);
    mixed_in += batch_of_step.mixed_in ? 1 : 0;
    all.recycle(std::move(batch_of_step));
  }
  EXPECT_EQ(globals.size(), 3U);
  EXPECT_GT(mixed_in, 5);
  EXPECT_EQ(all.steps_per_epoch(), first_images / batch);
}

/// Crops that are whole images tell which image they are of.
TEST_F(MixedLoader, LeavesNoImageOfEitherSetOut) {
  auto options = mixed_options();
  options.crops.pairs = {};
  options.crops.global_size = 8;
  options.crops.local_count = 0;
  options.crops.global_scale = {1, 1};
  options.crops.gray_probability = options.crops.solarize_probability = 0;
  options.crops.blur_probability = {0, 0, 0};
  auto all = loader(options);
  std::array<std::vector<std::set<std::vector<float>>>, 2> passes;  // images of each pass of a set
  std::array<std::int64_t, 2> steps{};
  std::array<std::int64_t, 2> const per_pass{first_images / batch, second_images / batch};
  for (int step = 0; step < 60; ++step) {
    auto const b = all.next();
    auto const set = static_cast<std::size_t>(b.mixed_in);
    if (steps[set]++ % per_pass[set] == 0) passes[set].emplace_back();
    for (std::int64_t i = 0; i < batch; ++i) {
      auto const begin = b.global.pixels.begin() + i * 3 * 8 * 8;
      passes[set].back().insert({begin, begin + 3 * 8 * 8});
    }
  }

  for (std::size_t set = 0; set < 2; ++set) {
    passes[set].pop_back();  // the last one may be cut short
    EXPECT_GT(passes[set].size(), 3U);
    for (auto const& pass : passes[set]) EXPECT_EQ(std::ssize(pass), per_pass[set] * batch);
  }
}

TEST_F(MixedLoader, GoesOnAtAnyStepAndInAnySlices) {
  auto const options = mixed_options();
  std::vector<Seen> whole;
  auto reference = loader(options);
  for (int step = 0; step < 12; ++step) whole.push_back(seen(reference.next()));

  for (std::int64_t const first : {1, 5, 8}) {
    auto later = options;
    later.first_step = first;
    auto rest = loader(later);
    for (auto step = static_cast<std::size_t>(first); step < whole.size(); ++step)
      EXPECT_EQ(seen(rest.next()), whole[step]) << first << ", " << step;
  }
  auto sliced = options;
  sliced.slice = {.begin = 3, .end = batch, .micro_batches = 2};
  auto parts = loader(sliced);
  for (auto const& step : whole) {
    for (int part = 0; part < 2; ++part) {
      auto const one = seen(parts.next());
      EXPECT_EQ(one.sizes, step.sizes);
      EXPECT_EQ(one.mixed_in, step.mixed_in);
      ASSERT_EQ(one.positions.size(), 1U);
      auto const crop = one.global.size() / 2;
      auto const place = static_cast<std::size_t>(3 + part) * crop;
      EXPECT_TRUE(std::equal(one.global.begin(), one.global.begin() + std::ssize(one.global) / 2,
                             step.global.begin() + static_cast<std::ptrdiff_t>(place)));
    }
  }
}

TEST_F(MixedLoader, HasAnOrderOfItsOwnForEachSet) {
  SampleOrder const first(1000, 10, 5, 8, 4), second(1000, 10, 5, 8, 4, 1);
  int same = 0;
  for (std::int64_t i = 0; i < 1000; ++i) same += first.permuted(0, i) == second.permuted(0, i);
  EXPECT_LT(same, 20);
}

}  // namespace
}  // namespace dino
