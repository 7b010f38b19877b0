// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <list>
#include <memory>
#include <optional>

#include "data/device_crops.hpp"
#include "kernels/upload.hpp"
#include "train/teacher_source.hpp"
#include "train/training_step.hpp"

namespace dino::train {

/// Memory of a device for micro-batches on their way to it.
struct UploadNeed {
  std::int64_t bytes = 0;    ///< of one micro-batch, at most
  std::int64_t buffers = 0;  ///< those that a step holds at a time, and the next one
  /// What makes crops of decoded pictures there, for data.augment_device. The next micro-batch then
  /// takes no buffer yet.
  std::optional<DeviceCrops::Options> device_crops = {};
  std::int64_t total() const {
    return bytes * buffers + (device_crops ? DeviceCrops::bytes(*device_crops) : 0);
  }
};

/// What a student's micro-batches need, and those of the frozen teacher that several students
/// share. \param images  of a micro-batch of any rank, at most
UploadNeed student_uploads(Config const& config, std::int64_t images, std::int64_t micro_batches);
UploadNeed teacher_uploads(Config const& config, SharedPasses const& passes);

/// Brings the crops of micro-batches, or the pictures that they are made of, to the memory of a
/// space while it computes. It must outlive the batches.
class CropUpload {
 public:
  explicit CropUpload(Space const& space) : space_(space) {}
  /// With memory for what is needed; else it is taken as micro-batches come.
  CropUpload(Space const& space, UploadNeed const& need);
  CropUpload(CropUpload const&) = delete;
  CropUpload& operator=(CropUpload const&) = delete;

  /// A batch whose crops are on their way.
  class Started;
  /// Begins with the copies. The host's memory stays as it is for the life of the batch's keeper.
  /// Of decoded pictures, it is the next one to be taken.
  std::shared_ptr<Started> start(StepBatch batch);
  /// The batch as one whose crops lie in the space: on the host the same one; else memory that is
  /// taken again when it is let go.
  static StepBatch take(std::shared_ptr<Started> started);
  StepBatch operator()(StepBatch batch) { return take(start(std::move(batch))); }

  /// Of the space's memory, taken so far.
  std::int64_t bytes() const { return bytes_ + (device_crops_ ? device_crops_->bytes() : 0); }
  /// Whether crops are copied at all.
  bool copies() const { return !is_host(space_) && !is_dry(space_); }

 private:
  UploadBuffer take_buffer(std::int64_t bytes);
  Space space_;
  std::list<UploadBuffer> free_;
  std::optional<DeviceCrops> device_crops_;
  std::int64_t bytes_ = 0;
};

/// Micro-batches one after the other, of which the next one is copied to the space while the space
/// computes with the last one.
class BatchesAhead {
 public:
  /// \param make   the next micro-batch, on the host
  /// \param ready  whether `make` would return at once
  BatchesAhead(CropUpload& upload, std::function<StepBatch()> make, std::function<bool()> ready)
      : upload_(upload), make_(std::move(make)), ready_(std::move(ready)) {}
  StepBatch next();
  /// Begins with the next one where that can be done at once. To be called now and then.
  void poll();

 private:
  CropUpload& upload_;
  std::function<StepBatch()> make_;
  std::function<bool()> ready_;
  std::shared_ptr<CropUpload::Started> ahead_;
  bool at_work_ = false;  ///< operations of `next` may call `poll`
};

}  // namespace dino::train
