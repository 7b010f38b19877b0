// SPDX-License-Identifier: Apache-2.0
#include "train/step_figure.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <numeric>
#include <vector>

#include "base/philox.hpp"
#include "train/drop_path.hpp"
#include "train/slice.hpp"

namespace dino::train {
namespace {

std::vector<float> noise(std::int64_t count) {
  Philox random(0, Purpose::test, 1);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (auto& value : values) value = static_cast<float>(random.uniform(-2, 2));
  return values;
}

/// Crops of noise for one micro-batch, as the loader would give them.
CropBatch noise_batch(config::Crops const& crops, std::int64_t images) {
  auto const group = [&](std::int64_t size, std::int64_t count) {
    return CropGroup{
        .size = size, .count = count, .pixels = noise(count * images * 3 * size * size)};
  };
  CropBatch batch{.images = images,
                  .first_position = 0,
                  .positions = std::vector<std::int64_t>(static_cast<std::size_t>(images)),
                  .global = group(crops.global_size, 2),
                  .local = group(crops.local_size, crops.local_count)};
  std::iota(batch.positions.begin(), batch.positions.end(), 0);
  return batch;
}

std::int64_t count_parameters(ModelShape const& shape) {
  std::int64_t count = 0;
  for (auto const& unit : model_units(shape)) {
    for (auto const& parameter : unit.parameters) count += parameter.size();
  }
  return count;
}

template <class T>
StepFigure measure(Communicator const& world, Config const& config, std::int64_t steps) {
  auto const shape = model_shape(config);
  auto const images =
      largest_micro_batch(world.size(), config.data.batch_size, config.run.micro_batch);
  auto const slice = rank_slice(world, config.data.batch_size, config.run.micro_batch);
  auto const cost = step_cost<T>(shape, config.crops, images);
  bool polling = false;
  DinoStep<T>* stepping = nullptr;
  Space const space = Host{.between = [&] {
    if (polling) stepping->poll();
  }};
  DinoStep<T> step(space, world, make_strategy(config, world.size()), shape,
                   config.dino.center_momentum);
  stepping = &step;
  polling = true;
  step.initialize(0);
  Arena arena(space, cost.arena_bytes);
  auto const batch = noise_batch(config.crops, images);
  auto const factors = config.student.drop_path_rate > 0
                           ? drop_path_factors(config.student.drop_path_rate, shape.backbone.depth,
                                               2 + config.crops.local_count, 0, batch.positions)
                           : std::vector<float>();
  StepSettings const settings{.lr = 1e-5, .weight_decay = 0.04, .clip_grad = 3.0};
  StepFigure figure{.steps = steps, .seconds = std::numeric_limits<double>::infinity()};
  for (std::int64_t s = 0; s <= steps; ++s) {
    world.barrier();
    auto const begin = std::chrono::steady_clock::now();
    step.begin(images * slice.micro_batches * world.size());
    for (std::int64_t m = 0; m < slice.micro_batches; ++m) {
      step.micro_batch(
          arena, crop_views(batch, factors, shape.backbone.depth), settings,
          m + 1 == slice.micro_batches ? DinoStep<T>::Last::yes : DinoStep<T>::Last::no);
    }
    step.finish(settings, s);
    std::chrono::duration<double> const seconds = std::chrono::steady_clock::now() - begin;
    if (s > 0 && seconds.count() < figure.seconds) {
      figure.seconds = seconds.count();
      figure.times = step.times();
    }
  }
  figure.seconds = world.max(figure.seconds);
  figure.matrix_flops = cost.matrix_flops * static_cast<double>(slice.micro_batches);
  figure.images_per_second =
      static_cast<double>(images * slice.micro_batches * world.size()) / figure.seconds;
  figure.gflops = figure.matrix_flops / figure.seconds * 1e-9;
  figure.parameters = count_parameters(shape);
  figure.arena_bytes = cost.arena_bytes;
  figure.student = step.student().store.bytes();
  figure.teacher = step.teacher().store.bytes();
  return figure;
}

}  // namespace

StepFigure measure_step(Communicator const& world, Config const& config, std::int64_t steps) {
  return config.run.precision == "bf16" ? measure<bfloat16>(world, config, steps)
                                        : measure<float>(world, config, steps);
}

}  // namespace dino::train
