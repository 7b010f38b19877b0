// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "data/views.hpp"
#include "io/shards.hpp"
#include "kernels/upload.hpp"

namespace dino {

/// Normalised crops of one size, crop-major: crop 0 of all images, then crop 1 of all images, …
struct CropGroup {
  std::int64_t size = 0;       ///< side, pixels
  std::int64_t count = 0;      ///< crops per image
  UploadVector<float> pixels;  ///< [count * images, 3, size, size]
};

/// A decoded image, and what was drawn for its crops.
struct DecodedImage {
  std::int32_t height = 0, width = 0;
  /// [height, width, 3], in the batch's memory, or in `own` where that had no room.
  std::uint8_t const* pixels = nullptr;
  std::vector<std::uint8_t> own;
  std::vector<DrawnView> views;      ///< of all crops; boxes are parts of this picture
  Colours colours;                   ///< that it has before crops are cut
  std::vector<WindowPlace> windows;  ///< of local crops in global ones; empty: they are no windows
};

/// The images of one micro-batch of this rank.
struct CropBatch {
  std::int64_t images = 0;
  std::int64_t step = 0;                ///< that it belongs to
  std::int64_t first_position = 0;      ///< global sample position of image 0; the others follow
  std::vector<std::int64_t> positions;  ///< global sample positions step * batch_size + g, [images]
  bool mixed_in = false;                ///< of the second data set
  CropGroup global, local;              ///< local.count may be 0
  CropGroup gram;  ///< the global crops as the Gram teacher sees them; count 0: none
  /// In place of the crops' pixels, with Deliver::pictures: [images], and memory for their pixels,
  /// of which `pixels_wanted` bytes would have been enough.
  std::vector<DecodedImage> decoded;
  UploadVector<std::uint8_t> pixels;
  std::int64_t pixels_wanted = 0;
};

/// What a loader makes of images: crops, or decoded pictures with what was drawn for their crops.
enum class Deliver { crops, pictures };

/// What this rank takes from each global batch: images [begin, end) of it, in equal micro-batches.
struct BatchSlice {
  std::int64_t begin = 0, end = 0;
  std::int64_t micro_batches = 1;  ///< the same on all ranks; a micro-batch may be empty
};

/// Position of the sample that stands at `position` of the endless stream: epoch e is a stateless
/// permutation of all images keyed by (seed, e), of which the last incomplete batch is dropped.
/// \param set  number of the data set: each has an order of its own
class SampleOrder {
 public:
  SampleOrder(std::int64_t images, std::int64_t batch_size, std::int64_t seed, std::int64_t block,
              std::int64_t window, std::uint32_t set = 0);
  std::int64_t steps_per_epoch() const { return images_ / batch_size_; }
  /// Index of the image used as image `g` of global batch `step`.
  std::int64_t index(std::int64_t step, std::int64_t g) const;
  /// The permutation itself: position in [0, images) of epoch -> index of the image, a bijection.
  std::int64_t permuted(std::int64_t epoch, std::int64_t position) const;

 private:
  std::int64_t images_, batch_size_, seed_, block_, window_;
  std::uint32_t set_;
};

/// Reads, decodes and augments the micro-batches of this rank in worker threads, ahead of need.
/// Every draw is keyed by (seed, global sample position, crop) or (seed, step): the same crops on
/// any number of ranks, workers and micro-batches. Images that cannot be read or decoded are
/// counted, logged once each, and replaced by a neighbour in the data set (a pure function of the
/// index).
class Loader {
 public:
  struct Options {
    config::Data data;
    config::Crops crops;
    std::int64_t seed = 0;
    BatchSlice slice;
    std::int64_t first_step = 0;
    std::int64_t patch_size = 16;  ///< grid of local crops that are parts of global ones, pixels
    Deliver deliver = Deliver::crops;
    /// Of crops and pictures, see upload_memory; null: plain memory.
    std::shared_ptr<std::pmr::memory_resource> memory = nullptr;
  };
  /// \param mixed_in  the second data set, of which data.mix.share of the steps have their batches
  Loader(io::ShardSet shards, Options const& options,
         std::optional<io::ShardSet> mixed_in = std::nullopt);
  Loader(Loader&&) noexcept;
  ~Loader();
  std::int64_t steps_per_epoch() const;  ///< one pass over the first data set
  /// The next micro-batch, in order: step first_step micro-batch 0, 1, …, then the next step.
  /// Blocks until it is ready. \throws Error (input) where too many images are unreadable (half of
  /// a batch)
  CropBatch next();
  bool ready() const;  ///< whether next() would return, or throw, at once
  /// Gives buffers back for use by later batches.
  void recycle(CropBatch&& batch);
  double seconds_waited() const;        ///< total time that next() blocked
  std::int64_t images_skipped() const;  ///< unreadable images met so far by this rank

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dino
