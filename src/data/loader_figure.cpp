// SPDX-License-Identifier: Apache-2.0
#include "data/loader_figure.hpp"

#include <time.h>

#include <algorithm>
#include <chrono>

#include "data/device_crops.hpp"
#include "data/loader.hpp"

namespace dino {
namespace {

double cpu_seconds_of_process() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Of one rank that takes whole batches of at most 64 images.
Loader::Options loader_options(io::ShardSet const& shards, Config const& config,
                               std::int64_t workers, Deliver deliver) {
  Loader::Options options{.data = config.data,
                          .crops = config.crops,
                          .seed = config.run.seed,
                          .slice = {},
                          .patch_size = config.student.patch_size,
                          .deliver = deliver};
  options.data.workers = workers;
  options.data.batch_size = std::min({config.data.batch_size, shards.size(), std::int64_t{64}});
  options.slice = {.begin = 0, .end = options.data.batch_size, .micro_batches = 1};
  return options;
}

}  // namespace

LoaderFigure measure_loader(io::ShardSet const& shards, Config const& config, std::int64_t workers,
                            double seconds, Deliver deliver) {
  auto const options = loader_options(shards, config, workers, deliver);
  Loader loader(shards, options);
  // The first touch of all buffers is not counted.
  for (std::int64_t i = 0; i < options.data.prefetch; ++i) loader.recycle(loader.next());

  LoaderFigure figure{.workers = workers};
  auto const begin = std::chrono::steady_clock::now();
  double const cpu_begin = cpu_seconds_of_process();
  do {
    CropBatch batch = loader.next();
    figure.images += batch.images;
    loader.recycle(std::move(batch));
    figure.seconds = seconds_since(begin);
  } while (figure.seconds < seconds);
  figure.cpu_seconds = cpu_seconds_of_process() - cpu_begin;
  figure.images_per_second = static_cast<double>(figure.images) / figure.seconds;
  figure.images_per_second_core = static_cast<double>(figure.images) / figure.cpu_seconds;
  figure.images_skipped = loader.images_skipped();
  return figure;
}

double measure_device_crops(Space const& device, io::ShardSet const& shards, Config const& config,
                            double seconds) {
  auto options = loader_options(shards, config, config.data.workers, Deliver::pictures);
  options.memory = upload_memory(device);
  Loader loader(shards, options);
  for (std::int64_t i = 0; i < options.data.prefetch; ++i) loader.recycle(loader.next());
  auto const batch = loader.next();
  DeviceCrops crops(device, {options.crops, batch.images, config.data.decoded_mib << 20});
  Buffer const memory(device,
                      DeviceCrops::places(batch).end * static_cast<std::int64_t>(sizeof(float)));
  auto const make = [&] {
    crops.start(batch);
    crops.make(memory.as<float>());
  };
  make();
  synchronize(device);
  auto const begin = std::chrono::steady_clock::now();
  std::int64_t images = 0;
  do {
    make();
    images += batch.images;
    crops.wait(batch);
  } while (seconds_since(begin) < seconds);
  synchronize(device);
  return static_cast<double>(images) / seconds_since(begin);
}

}  // namespace dino
