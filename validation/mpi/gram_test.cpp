// SPDX-License-Identifier: Apache-2.0
// The Gram loss and its gradient are those of the global batch, however it is cut into ranks and
// micro-batches.
#include "objective/gram_loss.hpp"
#include "unit/kernels/kernel_test.hpp"

namespace dino {
namespace {

using test::deviation;
using test::random_values;
using test::tolerance;

constexpr std::int64_t patches = 5, dim = 7, values = patches * dim;  // of a crop

/// Features of both crops of all images, crop-major, the same on every rank.
struct Problem {
  std::int64_t batch;
  std::vector<float> student = random_values<float>(2 * batch * values, 1);
  std::vector<float> teacher = random_values<float>(2 * batch * values, 2);
};

/// Where in a problem's arrays the crops of some images lie, in the order of a micro-batch.
std::vector<std::int64_t> places(std::int64_t batch, Share images) {
  std::vector<std::int64_t> out;
  for (std::int64_t crop = 0; crop < 2; ++crop)
    for (auto i = images.begin; i < images.end; ++i) out.push_back((crop * batch + i) * values);
  return out;
}

struct Result {
  double loss = 0;
  std::vector<float> gradient;  ///< of the whole batch
};

enum class Level { crop, batch };

/// Adds the crops at `at`, and writes their gradient to where they lie.
void add(GramLoss& loss, Arena& arena, Communicator const& world, Problem const& problem,
         std::vector<std::int64_t> const& at, Level level, Result& result) {
  std::vector<float> student, teacher;
  for (auto const place : at) {
    auto const append = [&](std::vector<float>& to, std::vector<float> const& from) {
      to.insert(to.end(), from.begin() + place, from.begin() + place + values);
    };
    append(student, problem.student);
    append(teacher, problem.teacher);
  }
  std::vector<float> gradient(student.size());
  auto const rows = static_cast<std::int64_t>(at.size()) * patches;
  auto const x = test::as<2>(std::as_const(student), {rows, dim});
  auto const y = test::as<2>(std::as_const(teacher), {rows, dim});
  auto const dx = test::as<2>(gradient, {rows, dim});
  if (level == Level::crop) {
    loss.add_crops(arena, x, y, patches, 2 * problem.batch, 0.3, dx);
  } else {
    loss.add_batch(arena, world, x, y, 0.3, dx);
  }
  for (std::size_t i = 0; i < at.size(); ++i)
    std::copy_n(gradient.begin() + static_cast<std::ptrdiff_t>(i) * values, values,
                result.gradient.begin() + at[i]);
}

Result gram(Problem const& problem, Communicator const& world, std::vector<Share> const& slices,
            Level level, GramSettings const& settings) {
  Arena arena(test::host, 1 << 24);
  GramLoss loss(test::host, settings);
  Result out{0, std::vector<float>(problem.student.size())};
  loss.begin_step();
  std::vector<std::int64_t> all;
  for (auto const& images : slices) {
    auto const at = places(problem.batch, images);
    all.insert(all.end(), at.begin(), at.end());
    if (level == Level::crop) add(loss, arena, world, problem, at, level, out);
  }
  if (level == Level::batch) add(loss, arena, world, problem, all, level, out);
  out.loss = world.sum(loss.local_loss());
  world.sum(std::span(out.gradient));  // each row is on one rank
  return out;
}

/// Ways to cut `batch` images into what this rank has.
std::vector<std::vector<Share>> slicings(Communicator const& world, std::int64_t batch) {
  auto const mine = share_of(batch, world.rank(), world.size());
  auto const half = mine.begin + mine.size() / 2;
  bool const last = world.rank() == world.size() - 1;
  return {{mine},
          {{mine.begin, half}, {half, mine.end}},
          // All on the last rank: the others have no crop.
          {last ? Share{0, batch} : Share{0, 0}},
          // Ranks in falling order of images.
          {share_of(batch, world.size() - 1 - world.rank(), world.size())}};
}

TEST(GramRanks, IsThatOfTheGlobalBatchUnderAnySlicing) {
  auto const world = Communicator::world();
  Problem const problem{7};
  for (auto const level : {Level::crop, Level::batch}) {
    for (auto const& settings : {GramSettings{}, GramSettings{false, GramNegatives::kept},
                                 GramSettings{true, GramNegatives::removed},
                                 GramSettings{true, GramNegatives::removed_of_teacher}}) {
      auto const whole = gram(problem, Communicator::self(), {{0, 7}}, level, settings);
      ASSERT_GT(whole.loss, 1e-3);
      for (auto const& slices : slicings(world, 7)) {
        auto const cut = gram(problem, world, slices, level, settings);

        EXPECT_NEAR(cut.loss, whole.loss, tolerance<float>(64) * whole.loss);
        EXPECT_LE(deviation(cut.gradient, whole.gradient), tolerance<float>(64));
      }
    }
  }
}

TEST(GramRanks, IsNothingWhereNoRankHasAPatch) {
  auto const world = Communicator::world();
  for (auto const level : {Level::crop, Level::batch})
    EXPECT_EQ(gram(Problem{0}, world, {{0, 0}}, level, {}).loss, 0);
}

}  // namespace
}  // namespace dino
