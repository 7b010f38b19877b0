// SPDX-License-Identifier: Apache-2.0
// Losses, targets and gradients are those of the global batch, however it is cut into ranks and
// micro-batches.
#include <numeric>

#include "data/masking.hpp"
#include "objective/dino_v2_loss.hpp"
#include "objective/ibot_loss.hpp"
#include "objective/koleo_loss.hpp"
#include "objective/sinkhorn_knopp.hpp"
#include "objective/softmax_centering.hpp"
#include "objective/target_statistics.hpp"
#include "unit/kernels/kernel_test.hpp"
#include "unit/objective/objective_reference.hpp"

namespace dino {
namespace {

using test::deviation;
using test::random_values;
using test::tolerance;

constexpr std::int64_t width = 37, patch_width = 29, dim = 11, local_crops = 3;
constexpr std::int64_t grid = 4, patches = grid * grid;
constexpr std::uint64_t seed = 5;

/// A table [crops * batch or more rows, width] of the global batch, crop-major, and what rows of it
/// a slice of the images has.
struct Table {
  std::vector<float> values;
  std::int64_t width = 1, batch = 0, rows_per_image = 1;

  std::int64_t stride() const { return width * rows_per_image; }
  std::int64_t crops() const {
    return batch == 0 ? 0 : static_cast<std::int64_t>(values.size()) / (stride() * batch);
  }
  auto image(std::int64_t crop, std::int64_t i) const {
    return values.begin() + (crop * batch + i) * stride();
  }
  /// Rows of the images of `share`, crop-major.
  std::vector<float> slice(Share share) const {
    std::vector<float> out;
    for (std::int64_t c = 0; c < crops(); ++c)
      out.insert(out.end(), image(c, share.begin), image(c, share.end));
    return out;
  }
  /// Writes rows of the images of `share` back.
  void put(Share share, std::vector<float> const& rows) {
    auto const n = share.size() * stride();
    for (std::int64_t c = 0; c < crops(); ++c)
      std::copy_n(rows.begin() + c * n, n, values.begin() + (c * batch + share.begin) * stride());
  }
};

Table random_table(std::int64_t crops, std::int64_t batch, std::int64_t columns,
                   std::uint64_t stream, std::int64_t rows_per_image = 1) {
  return {random_values<float>(crops * batch * columns * rows_per_image, stream, 0.4), columns,
          batch, rows_per_image};
}

Table zero_table(Table const& like) {
  return {std::vector<float>(like.values.size()), like.width, like.batch, like.rows_per_image};
}

View<float, 2> view(std::vector<float>& rows, std::int64_t columns) {
  return {rows.data(), {static_cast<std::int64_t>(rows.size()) / columns, columns}};
}

/// What a step's forward passes give, for the whole batch: the same on every rank.
struct Problem {
  std::int64_t batch;
  Table teacher = random_table(2, batch, width, 1);
  Table student_global = random_table(2, batch, width, 2);
  Table student_local = random_table(local_crops, batch, width, 3);
  Table teacher_patches = random_table(2, batch, patch_width, 4, patches);
  Table student_patches = random_table(2, batch, patch_width, 5, patches);
  Table features = random_table(1, batch, dim, 6);
  MaskMaker masks{
      {.grid_h = grid, .grid_w = grid, .max_block = 8, .sample_probability = 0.3}, batch, seed};
};

/// Everything that the objectives give, over the global batch.
struct Results {
  Table targets, patch_targets, dglobal, dlocal, dpatches, dfeatures;
  std::vector<double> scalars;  ///< loss terms, statistics
  std::vector<float> center;
};

enum class Targets { sinkhorn_knopp, centering };

/// One micro-batch and its buffers.
struct Part {
  Share images;
  CollatedMasks masks;
  std::vector<float> targets, patch_targets;
};

/// Rows of the masked patches.
std::vector<float> masked_rows(std::vector<float> const& all, CollatedMasks const& masks) {
  std::vector<float> out;
  for (auto const i : masks.indices)
    out.insert(out.end(), all.begin() + i * patch_width, all.begin() + (i + 1) * patch_width);
  return out;
}

/// The masked rows at their places among all patches of the crops.
std::vector<float> scattered(std::vector<float> const& rows, CollatedMasks const& masks) {
  std::vector<float> out(masks.masks.size() * static_cast<std::size_t>(patch_width));
  for (std::size_t i = 0; i < masks.indices.size(); ++i)
    std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(i) * patch_width, patch_width,
                out.begin() + masks.indices[i] * patch_width);
  return out;
}

/// The objectives of one step of this rank, which has the micro-batches `slices`.
class Step {
 public:
  Step(Problem const& problem, Communicator const& world, std::vector<Share> const& slices,
       Targets kind, std::optional<std::int64_t> group)
      : problem_(problem), world_(world), koleo_settings_{group, 1, problem.batch, 0.1} {
    for (auto const images : slices) {
      auto masks = problem.masks.masks(9, images.begin, images.size());
      auto patch_logits = masked_rows(problem.teacher_patches.slice(images), masks);
      parts_.push_back(
          {images, std::move(masks), problem.teacher.slice(images), std::move(patch_logits)});
    }
    make_targets(kind);
  }

  Results run_losses() {
    Results out{zero_table(problem_.teacher),
                zero_table(problem_.teacher_patches),
                zero_table(problem_.student_global),
                zero_table(problem_.student_local),
                zero_table(problem_.student_patches),
                zero_table(problem_.features),
                {},
                center_};
    DinoV2Loss dino(space_);
    IbotLoss ibot(space_);
    KoleoLoss koleo(space_, dim);
    dino.begin_step(), ibot.begin_step(), koleo.begin_step();
    for (auto& part : parts_) {
      dino_terms(part, dino, out);
      ibot_term(part, ibot, out);
      koleo_term(part, koleo, out);
    }
    auto const terms = dino.local_terms();
    out.scalars = {world_.sum(terms.local),       world_.sum(terms.global),
                   world_.sum(ibot.local_loss()), world_.sum(koleo.local_loss()),
                   statistics_.entropy,           static_cast<double>(statistics_.prototypes)};
    for (auto* const table : {&out.targets, &out.patch_targets, &out.dglobal, &out.dlocal,
                              &out.dpatches, &out.dfeatures})
      world_.sum(std::span(table->values));  // each row is on one rank
    return out;
  }

 private:
  void make_targets(Targets kind) {
    std::vector<View<float, 2>> logits, patch_logits;
    for (auto& part : parts_) {
      logits.push_back(view(part.targets, width));
      patch_logits.push_back(view(part.patch_targets, patch_width));
    }
    if (kind == Targets::sinkhorn_knopp) {
      sinkhorn_with(logits, width);
      sinkhorn_with(patch_logits, patch_width);
    } else {
      center_with(logits, width);
      center_with(patch_logits, patch_width);
    }
    TargetStatistics statistics(space_, patch_width);
    statistics.begin_step();
    for (auto const& part : patch_logits) statistics.add(part);
    statistics_ = statistics.finish_step(world_);
  }

  void sinkhorn_with(std::vector<View<float, 2>> const& logits, std::int64_t columns) {
    SinkhornKnopp sinkhorn(space_, columns);
    std::vector<LogitTile> tiles;
    for (auto const& part : logits) tiles.push_back({part});
    auto const each = [&](auto const& visit) { std::for_each(tiles.begin(), tiles.end(), visit); };
    sinkhorn.solve(arena_, world_, each, 0.06);
    for (auto& tile : tiles) sinkhorn.targets(arena_, tile);
  }

  void center_with(std::vector<View<float, 2>> const& logits, std::int64_t columns) {
    SoftmaxCentering centering(space_, columns, 0.9);
    centering.begin_step();
    for (auto const& part : logits) centering.targets(part, 0.1);
    centering.finish_step(world_);
    auto const center = centering.center();
    center_.insert(center_.end(), center.begin(), center.end());
  }

  void dino_terms(Part& part, DinoV2Loss& loss, Results& out) {
    auto global = problem_.student_global.slice(part.images);
    auto local = problem_.student_local.slice(part.images);
    DinoV2Settings const settings{.pairs = CropPairs::v2(local_crops),
                                  .images = part.images.size(),
                                  .global_batch = problem_.batch};
    auto const targets = view(part.targets, width);
    loss.add_global<float>(view(global, width), targets, settings, view(global, width));
    loss.add_local<float>(view(local, width), targets, settings, view(local, width));
    out.dglobal.put(part.images, global);
    out.dlocal.put(part.images, local);
    out.targets.put(part.images, part.targets);
  }

  void ibot_term(Part& part, IbotLoss& loss, Results& out) {
    auto student = masked_rows(problem_.student_patches.slice(part.images), part.masks);
    loss.add<float>(view(student, patch_width), view(part.patch_targets, patch_width),
                    view_of(std::as_const(part.masks.weights)),
                    {.global_crops = 2 * problem_.batch}, view(student, patch_width));
    out.dpatches.put(part.images, scattered(student, part.masks));
    out.patch_targets.put(part.images, scattered(part.patch_targets, part.masks));
  }

  void koleo_term(Part& part, KoleoLoss& loss, Results& out) {
    auto features = problem_.features.slice(part.images);
    std::vector<float> gradient(features.size());
    loss.add(arena_, world_, view(features, dim), part.images.begin, koleo_settings_,
             view(gradient, dim));
    out.dfeatures.put(part.images, gradient);
  }

  Problem const& problem_;
  Communicator const& world_;
  KoleoSettings koleo_settings_;
  Space space_ = Host{};
  Arena arena_{space_, 1 << 22};
  std::vector<Part> parts_;
  TeacherStatistics statistics_;
  std::vector<float> center_;
};

/// Ways to cut `batch` images into what this rank has.
std::vector<std::vector<Share>> slicings(Communicator const& world, std::int64_t batch) {
  auto const mine = share_of(batch, world.rank(), world.size());
  bool const last = world.rank() == world.size() - 1;
  return {{mine},
          // All on the last rank: the others have no image, no crop and no masked patch.
          {last ? Share{0, batch} : Share{0, 0}},
          // Ranks in falling order of samples.
          {share_of(batch, world.size() - 1 - world.rank(), world.size())},
          // The last rank has all but one image, the first has that one.
          {world.size() == 1 ? Share{0, batch}
           : last            ? Share{1, batch}
                             : Share{0, world.rank() == 0 ? 1 : 0}}};
}

double worst(Table const& actual, Table const& expected) {
  return deviation(actual.values, expected.values);
}

void expect_equal(Results const& actual, Results const& expected) {
  // Sums over ranks are in another order; nothing else differs.
  auto const bound = tolerance<float>(64);
  EXPECT_LE(worst(actual.targets, expected.targets), bound);
  EXPECT_LE(worst(actual.patch_targets, expected.patch_targets), bound);
  EXPECT_LE(worst(actual.dglobal, expected.dglobal), bound);
  EXPECT_LE(worst(actual.dlocal, expected.dlocal), bound);
  EXPECT_LE(worst(actual.dpatches, expected.dpatches), bound);
  EXPECT_LE(worst(actual.dfeatures, expected.dfeatures), bound);
  EXPECT_LE(deviation(actual.center, expected.center), bound);
  ASSERT_EQ(actual.scalars.size(), expected.scalars.size());
  for (std::size_t i = 0; i < expected.scalars.size(); ++i)
    EXPECT_NEAR(actual.scalars[i], expected.scalars[i],
                bound * std::abs(expected.scalars[i]) + 1e-30)
        << "scalar " << i;
}

class Objective : public testing::TestWithParam<Targets> {};

TEST_P(Objective, IsThatOfTheGlobalBatchUnderAnySlicing) {
  auto const world = Communicator::world();
  for (std::int64_t const batch : {std::int64_t{7}, std::int64_t{world.size()}}) {
    Problem const problem{batch};
    for (auto const group : {std::optional<std::int64_t>{}, std::optional<std::int64_t>{3}}) {
      auto const whole =
          Step(problem, Communicator::self(), {{0, batch}}, GetParam(), group).run_losses();
      for (auto const& slices : slicings(world, batch)) {
        SCOPED_TRACE(testing::Message() << "batch " << batch << ", first " << slices[0].begin);
        expect_equal(Step(problem, world, slices, GetParam(), group).run_losses(), whole);
      }
    }
  }
}

TEST_P(Objective, IsThatOfTheGlobalBatchUnderMicroBatches) {
  auto const world = Communicator::world();
  auto const ranks = static_cast<std::int64_t>(world.size());
  std::int64_t const batch = 6 * ranks, begin = 6 * world.rank();
  Problem const problem{batch};

  // Groups of three, so that each lies in one micro-batch.
  auto const whole = Step(problem, Communicator::self(), {{0, batch}}, GetParam(), 3).run_losses();
  auto const cut = Step(problem, world, {{begin, begin + 3}, {begin + 3, begin + 6}}, GetParam(), 3)
                       .run_losses();

  expect_equal(cut, whole);
}

INSTANTIATE_TEST_SUITE_P(Targets, Objective,
                         testing::Values(Targets::sinkhorn_knopp, Targets::centering));

// The slicings above would agree on anything that is zero or undefined.
TEST(ObjectiveProblem, HasMaskedPatchesAndRanksWithout) {
  Problem const problem{7};
  auto const all = problem.masks.masks(9, 0, 7);
  EXPECT_GT(all.indices.size(), 10U);
  // Images without a masked patch: the only ones of some ranks where each rank has one.
  EXPECT_GE(std::count(all.counts.begin(), all.counts.end(), 0), 10);
  auto const results =
      Step(problem, Communicator::self(), {{0, 7}}, Targets::sinkhorn_knopp, {}).run_losses();
  auto const expected = test::koleo(test::doubles(problem.features.values), dim, 7, 1);
  EXPECT_LE(deviation(std::vector{results.scalars[3]}, std::vector{expected}),
            tolerance<float>(64));
  for (auto const s : results.scalars) EXPECT_NE(s, 0);
}

TEST(KoleoGroups, ThatStraddleMicroBatchesAreRefusedOnAllRanks) {
  auto const world = Communicator::world();
  auto const begin = 2 * static_cast<std::int64_t>(world.rank());
  auto const batch = 2 * static_cast<std::int64_t>(world.size());
  Problem const problem{batch};

  auto const text = test::refusal([&] {
    Step(problem, world, {{begin, begin + 1}, {begin + 1, begin + 2}}, Targets::centering, {})
        .run_losses();
  });

  EXPECT_THAT(text, testing::HasSubstr("are not all in one micro-batch"));
}

}  // namespace
}  // namespace dino
