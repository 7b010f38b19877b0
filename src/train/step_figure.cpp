// SPDX-License-Identifier: Apache-2.0
#include "train/step_figure.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include "base/philox.hpp"
#include "train/device.hpp"
#include "train/drop_path.hpp"
#include "train/frozen_teacher.hpp"
#include "train/make_step.hpp"
#include "train/run.hpp"
#include "train/slice.hpp"
#include "train/upload.hpp"

namespace dino::train {
namespace {

UploadVector<float> noise(std::int64_t count) {
  Philox random(0, Purpose::test, 1);
  UploadVector<float> values(static_cast<std::size_t>(count));
  for (auto& value : values) value = static_cast<float>(random.uniform(-2, 2));
  return values;
}

/// Crops of noise for one micro-batch, as the loader would give them.
CropBatch noise_batch(config::CropSizes const& sizes, std::int64_t local_count,
                      std::int64_t images) {
  auto const group = [&](std::int64_t size, std::int64_t count) {
    return CropGroup{
        .size = size, .count = count, .pixels = noise(count * images * 3 * size * size)};
  };
  CropBatch batch{.images = images,
                  .first_position = 0,
                  .positions = std::vector<std::int64_t>(static_cast<std::size_t>(images)),
                  .global = group(sizes.global, 2),
                  .local = group(sizes.local, local_count)};
  if (sizes.gram) batch.gram = group(*sizes.gram, 2);
  std::iota(batch.positions.begin(), batch.positions.end(), 0);
  return batch;
}

/// A micro-batch of noise with drop path and masks.
HostBatch host_batch(Config const& config, config::CropSizes const& sizes, ModelShape const& shape,
                     std::int64_t images) {
  HostBatch batch{
      .crops = noise_batch(sizes, config.crops.local_count, images), .drop_path = {}, .masks = {}};
  if (config.student.drop_path_rate > 0) {
    SubsetDropPath const drop{.rate = config.student.drop_path_rate,
                              .depth = shape.backbone.depth,
                              .local_crops = config.crops.local_count,
                              .global_batch = images};
    batch.drop_path = drop.factors(0, 0, images);
  }
  if (auto const rope = rope_augmentation(config); rope.any())
    batch.rope = rope.draws(0, 0, shape.backbone.depth);
  if (auto const masks = make_masks(config, sizes.global)) batch.masks = masks->masks(0, 0, images);
  return batch;
}

template <class T>
StepFigure measure(Communicator const& world, Config const& config, std::int64_t steps) {
  auto const shape = model_shape(config);
  auto const images =
      largest_micro_batch(world.size(), config.data.batch_size, config.run.micro_batch);
  auto const micro_batches =
      rank_slice(world, config.data.batch_size, config.run.micro_batch).micro_batches;
  auto const global_batch = images * micro_batches * world.size();
  std::unique_ptr<TrainingStep<T>> step;
  Space const space = make_space(world, config.run.device, [&] {
    if (step) step->poll();
  });
  auto const device = require_device_memory(world, space, config);
  auto const sizes = config::crop_sizes(config.crops).front();
  auto const teacher = find_teacher(world, config);
  auto const cost =
      step_cost<T>(config, sizes, images, micro_batches, teacher, processor_of(space));
  step = make_step<T>(space, world, make_strategy(config, world.size()), config, teacher);
  step->timer().measure(make_timer(space));
  step->initialize(0);
  if (auto* const frozen = step->frozen_teacher()) frozen->initialize(0);
  Arena arena(space, cost.arena_bytes);
  auto const batch = host_batch(config, sizes, shape, images);
  CropUpload upload(space);
  auto settings = settings_at(config, 0, 1, 2);
  settings.lr = 1e-5;
  StepFigure figure{.steps = steps,
                    .seconds = std::numeric_limits<double>::infinity(),
                    .device = device,
                    .device_after = {}};
  std::int64_t part = 0;
  StepBatchSource const source{
      .micro_batches = micro_batches, .next = [&] {
        auto views = crop_views(batch, shape.backbone.depth, global_batch);
        views.first = (world.rank() * micro_batches + part++ % micro_batches) * images;
        return upload({views, nullptr});
      }};
  for (std::int64_t s = 0; s <= steps; ++s) {
    world.barrier();
    auto const before = launches(space);
    auto const begin = std::chrono::steady_clock::now();
    step->begin(global_batch);
    step->accumulate(arena, source, settings);
    step->finish(settings, s);
    synchronize(space);
    std::chrono::duration<double> const seconds = std::chrono::steady_clock::now() - begin;
    if (s > 0 && seconds.count() < figure.seconds) {
      figure.seconds = seconds.count();
      figure.times = step->timer().end_step();
      figure.launches = launches(space) - before;
    }
  }
  if (device) figure.device_after = device_share(world, space, 0);
  figure.seconds = world.max(figure.seconds);
  // Of this very batch: what drop path leaves out is not counted.
  figure.matrix_flops =
      step_work<T>(config, world.size(), global_batch, source, teacher).matrix_flops;
  figure.images_per_second = static_cast<double>(global_batch) / figure.seconds;
  figure.gflops = figure.matrix_flops / figure.seconds * 1e-9;
  for (auto const& [module, count] : count_parameters(shape)) figure.parameters += count;
  figure.arena_bytes = cost.arena_bytes;
  figure.logits_bytes = step->logits_bytes();
  figure.student = step->student().store.bytes();
  figure.teacher = step->teacher().store.bytes();
  return figure;
}

}  // namespace

StepFigure measure_step(Communicator const& world, Config const& config, std::int64_t steps) {
  return config.run.precision == "bf16" ? measure<bfloat16>(world, config, steps)
                                        : measure<float>(world, config, steps);
}

}  // namespace dino::train
