// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "config/config.hpp"
#include "data/loader.hpp"
#include "io/shards.hpp"

namespace dino {

/// What the loader does on this machine.
struct LoaderFigure {
  std::int64_t workers = 0;
  std::int64_t images = 0;            ///< read, decoded and, where crops are delivered, augmented
  double seconds = 0;                 ///< elapsed
  double cpu_seconds = 0;             ///< of all threads of the process
  double images_per_second = 0;       ///< of elapsed time
  double images_per_second_core = 0;  ///< images / cpu_seconds: what one core to itself does
  std::int64_t images_skipped = 0;    ///< unreadable
};

/// Runs the loader of a configuration alone, which makes crops, or leaves that to a device, with
/// `workers` threads, for about `seconds` (at least one micro-batch of at most 64 images).
LoaderFigure measure_loader(io::ShardSet const& shards, Config const& config, std::int64_t workers,
                            double seconds, Deliver deliver = Deliver::crops);

/// Images per second whose crops a device makes of decoded pictures, uploads included
/// (data.augment_device=cuda), over about `seconds` (at least one micro-batch of at most 64
/// images).
double measure_device_crops(Space const& device, io::ShardSet const& shards, Config const& config,
                            double seconds);

}  // namespace dino
