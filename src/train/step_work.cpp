// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "train/drop_path.hpp"
#include "train/make_step.hpp"
#include "train/slice.hpp"

namespace dino::train {
namespace {

/// What a batch of a dry run owns.
struct Draws {
  std::vector<float> drop_path;
  CollatedMasks masks;
};

std::vector<float> drop_path_draws(Config const& config, std::int64_t depth, Share images) {
  auto const rate = config.student.drop_path_rate;
  auto const local = config.crops.local_count;
  if (config.student.drop_path_uniform) {
    return SubsetDropPath{.rate = rate,
                          .depth = depth,
                          .local_crops = local,
                          .global_batch = config.data.batch_size,
                          .seed = config.run.seed}
        .factors(0, images.begin, images.size());
  }
  std::vector<std::int64_t> positions(static_cast<std::size_t>(images.size()));
  std::iota(positions.begin(), positions.end(), images.begin);
  return drop_path_factors(rate, depth, 2 + local, config.run.seed, positions);
}

/// The images of the first step's batch: extents without pixels, with the draws of the run.
StepBatch typical_batch(Config const& config, ModelShape const& shape,
                        config::CropSizes const& sizes, std::optional<MaskMaker> const& masks,
                        Share images) {
  auto batch = dry_batch(config, shape, sizes, images.size());
  auto const draws = std::make_shared<Draws>();
  auto& views = batch.views;
  views.first = images.begin;
  if (views.drop_path) {
    draws->drop_path = drop_path_draws(config, shape.backbone.depth, images);
    views.drop_path = {draws->drop_path.data(), views.drop_path.extents()};
  }
  if (masks) {
    draws->masks = masks->masks(0, images.begin, images.size());
    views.masks = &draws->masks;
  }
  batch.keeper = draws;
  return batch;
}

void add_share(Traffic& sum, Traffic const& other, double share) {
  sum.gathered += share * other.gathered;
  sum.scattered += share * other.scattered;
  sum.summed += share * other.summed;
  sum.broadcast += share * other.broadcast;
}

}  // namespace

void StepWork::add(StepWork const& other, double share) {
  matrix_flops += share * other.matrix_flops;
  add_share(group, other.group, share);
  add_share(replicas, other.replicas, share);
  add_share(world, other.world, share);
}

template <class T>
StepWork step_work(Config const& config, int ranks, std::int64_t global_batch,
                   StepBatchSource const& source, std::optional<TeacherSource> const& teacher) {
  Tally tally;
  Space const dry = Dry{&tally};
  auto const world = Communicator::imaginary(ranks);
  auto const step = make_step<T>(dry, world, make_strategy(config, ranks), config, teacher);
  Arena arena(dry, Arena::no_limit);
  step->begin(global_batch);
  step->accumulate(arena, source, {});
  step->finish({}, 0);
  auto const& store = step->student().store;
  return {.matrix_flops = tally.matrix_flops,
          .group = store.group().traffic(),
          .replicas = store.replicas().traffic(),
          .world = step->world().traffic()};
}

template <class T>
StepWork step_work(Config const& config, config::CropSizes const& sizes, int ranks,
                   std::optional<TeacherSource> const& teacher) {
  auto const shape = model_shape(config);
  auto const masks = make_masks(config, sizes.global);
  auto const batch = config.data.batch_size;
  auto const parts = micro_batches(ranks, batch, config.run.micro_batch);
  // The last rank is among those with most images.
  auto const share = share_of(batch, ranks - 1, ranks);
  std::int64_t part = 0;
  auto const next = [&] {
    auto const within = share_of(share.size(), part++, parts);
    return typical_batch(config, shape, sizes, masks,
                         {share.begin + within.begin, share.begin + within.end});
  };
  StepBatchSource source{.micro_batches = parts, .next = next};
  if (!teacher || !teacher->shared) return step_work<T>(config, ranks, batch, source, teacher);
  auto alone = teacher;
  alone->shared->ranks = Communicator::self();
  source.teacher_micro_batches = alone->shared->micro_batches;
  source.next_of_teacher = [&] { return dry_batch(config, shape, sizes, alone->shared->images); };
  return step_work<T>(config, ranks, batch, source, alone);
}

template StepWork step_work<float>(Config const&, config::CropSizes const&, int,
                                   std::optional<TeacherSource> const&);
template StepWork step_work<bfloat16>(Config const&, config::CropSizes const&, int,
                                      std::optional<TeacherSource> const&);
template StepWork step_work<float>(Config const&, int, std::int64_t, StepBatchSource const&,
                                   std::optional<TeacherSource> const&);
template StepWork step_work<bfloat16>(Config const&, int, std::int64_t, StepBatchSource const&,
                                      std::optional<TeacherSource> const&);

}  // namespace dino::train
