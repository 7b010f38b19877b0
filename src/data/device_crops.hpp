// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "config/config.hpp"
#include "config/crop_sizes.hpp"
#include "data/crop_jobs.hpp"
#include "data/loader.hpp"
#include "kernels/upload.hpp"

namespace dino {

/// Makes crops of decoded images on a space: those that the loader's threads make on the host, bit
/// for bit. Pictures go there while the space computes, some at a time, in memory of a fixed size
/// that is used in turns.
class DeviceCrops {
 public:
  struct Options {
    config::Crops crops;
    std::int64_t images = 0;         ///< of a micro-batch, at most
    std::int64_t decoded_bytes = 0;  ///< of pictures and what is needed to cut them, at a time
  };
  /// \throws Error (usage) where a device has too little memory
  DeviceCrops(Space const& space, Options const& options);
  DeviceCrops(DeviceCrops const&) = delete;
  DeviceCrops& operator=(DeviceCrops const&) = delete;

  /// Memory of the space that one would take, and that this one took.
  static std::int64_t bytes(Options const& options);
  std::int64_t bytes() const;

  /// Begins with the pictures of a batch, the one that `make` makes the crops of next. The batch
  /// stays where it is until `wait` for it has returned. \throws Error (usage) where one picture
  /// alone is too large
  void start(CropBatch const& batch);
  /// Runs what makes its crops. \param crops  of the groups where `places` says
  void make(View<float, 1> crops);
  /// Waits, on the host, until the pictures of a batch are no longer read.
  void wait(CropBatch const& batch);

  /// Where crops of the groups begin in memory for all of them, in values.
  static CropPlaces places(CropBatch const& batch);

 private:
  /// Some of a batch's images, with memory in the space and the host's.
  struct Part {
    UploadBuffer memory;
    UploadVector<std::byte> jobs_memory;
    CropJobs jobs;
    std::int64_t pictures_end = 0, jobs_begin = 0;  ///< in the memory, bytes; between: weights
    CropBatch const* batch = nullptr;               ///< whose pictures are, or were, copied
  };
  void upload_next();
  static void upload_jobs(Part& part, std::int64_t pictures_end);
  void run_part(Part& part, View<float, 1> crops) const;

  Space space_;
  config::Crops crops_;
  std::array<Part, 2> parts_;
  Buffer pictures_;  ///< cut, and blurred by a Gaussian
  Buffer values_;    ///< see NormalizeCrops
  CropBatch const* batch_ = nullptr;
  std::int64_t next_image_ = 0;        ///< of the batch, which is in no part yet
  std::size_t filled_ = 0, made_ = 0;  ///< parts of the batch so far
};

}  // namespace dino
