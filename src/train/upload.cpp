// SPDX-License-Identifier: Apache-2.0
#include "train/upload.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "config/crop_sizes.hpp"
#include "kernels/arena.hpp"

namespace dino::train {
namespace {

/// Of the largest crops of one micro-batch.
std::int64_t crop_bytes(Config const& config, std::int64_t local_count, std::int64_t images) {
  std::int64_t most = 0;
  for (auto const& sizes : config::crop_sizes(config.crops)) {
    auto const bytes = [&](std::int64_t count, std::int64_t size) {
      return Arena::aligned(count * images * 3 * size * size *
                            static_cast<std::int64_t>(sizeof(float)));
    };
    most = std::max(most, bytes(2, sizes.global) + bytes(local_count, sizes.local) +
                              (sizes.gram ? bytes(2, *sizes.gram) : 0));
  }
  return most;
}

}  // namespace

UploadNeed student_uploads(Config const& config, std::int64_t images, std::int64_t micro_batches) {
  // DINOv1 lets go of a micro-batch before it takes the next one.
  return {.bytes = crop_bytes(config, config.crops.local_count, images),
          .buffers = 1 + (config.method == "dinov1" ? 1 : micro_batches)};
}

UploadNeed teacher_uploads(Config const& config, SharedPasses const& passes) {
  auto const local = config.data.dct_scaling ? config.crops.local_count : 0;
  return {.bytes = crop_bytes(config, local, passes.images), .buffers = 1 + passes.micro_batches};
}

/// Its end gives the memory back: on the host to the loader, once it is copied, and on the device
/// to later batches.
class CropUpload::Started {
 public:
  Started(CropUpload& upload, StepBatch batch) : upload_(upload), batch_(std::move(batch)) {
    if (upload.copies()) copy();
  }
  Started(Started const&) = delete;
  Started& operator=(Started const&) = delete;
  ~Started() {
    if (!upload_.copies()) return;
    memory_.release();
    memory_.wait();
    upload_.free_.push_back(std::move(memory_));
  }
  /// Operations that run from here on may use the crops.
  CropViews const& views() {
    memory_.acquire();
    return batch_.views;
  }

 private:
  void copy() {
    auto const bytes_of = [](ImageView const& images) {
      return images.size() * static_cast<std::int64_t>(sizeof(float));
    };
    auto& views = batch_.views;
    std::array const groups{&views.global, &views.local, &views.gram};
    std::int64_t total = 0;
    for (auto const* const group : groups) total += Arena::aligned(bytes_of(*group));
    memory_ = upload_.take_buffer(total);
    memory_.begin();
    std::int64_t begin = 0;
    for (auto* const group : groups) {
      auto const bytes = bytes_of(*group);
      if (bytes == 0) continue;
      memory_.copy(begin, group->data(), bytes);
      *group = {memory_.as<float>(begin, group->size()).data(), group->extents()};
      begin += Arena::aligned(bytes);
    }
    memory_.finish();
  }

  CropUpload& upload_;
  StepBatch batch_;
  UploadBuffer memory_;
};

CropUpload::CropUpload(Space const& space, UploadNeed const& need) : space_(space) {
  if (!copies()) return;
  for (std::int64_t i = 0; i < need.buffers; ++i) free_.emplace_back(space_, need.bytes);
  bytes_ = need.total();
}

/// The smallest free buffer that is large enough, or a new one.
UploadBuffer CropUpload::take_buffer(std::int64_t bytes) {
  auto best = free_.end();
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    if (it->bytes() >= bytes && (best == free_.end() || it->bytes() < best->bytes())) best = it;
  }
  if (best == free_.end()) {
    bytes_ += bytes;
    return {space_, bytes};
  }
  auto buffer = std::move(*best);
  free_.erase(best);
  return buffer;
}

std::shared_ptr<CropUpload::Started> CropUpload::start(StepBatch batch) {
  return std::make_shared<Started>(*this, std::move(batch));
}

StepBatch CropUpload::take(std::shared_ptr<Started> started) {
  auto const views = started->views();
  return {views, std::move(started)};
}

StepBatch BatchesAhead::next() {
  if (!upload_.copies()) return make_();
  auto started = ahead_ ? std::exchange(ahead_, nullptr) : upload_.start(make_());
  auto batch = CropUpload::take(std::move(started));
  if (ready_()) ahead_ = upload_.start(make_());
  return batch;
}

}  // namespace dino::train
