// SPDX-License-Identifier: Apache-2.0
#include "train/upload.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.hpp"
#include "config/crop_sizes.hpp"
#include "kernels/arena.hpp"
#include "train/slice.hpp"

namespace dino::train {
namespace {

/// Of the largest crops of one micro-batch.
std::int64_t crop_bytes(config::Crops const& crops, std::int64_t images) {
  std::int64_t most = 0;
  for (auto const& sizes : config::crop_sizes(crops)) {
    auto const bytes = [&](std::int64_t count, std::int64_t size) {
      return Arena::aligned(count * images * 3 * size * size *
                            static_cast<std::int64_t>(sizeof(float)));
    };
    most = std::max(most, bytes(2, sizes.global) + bytes(crops.local_count, sizes.local) +
                              (sizes.gram ? bytes(2, *sizes.gram) : 0));
  }
  return most;
}

/// \param held  buffers that a step holds at a time
UploadNeed uploads(Config const& config, config::Crops const& crops, std::int64_t images,
                   std::int64_t held) {
  UploadNeed need{.bytes = crop_bytes(crops, images), .buffers = held + 1};
  if (config.data.augment_device == "host") return need;
  need.buffers = held;
  need.device_crops = {
      .crops = crops, .images = images, .decoded_bytes = config.data.decoded_mib << 20};
  return need;
}

}  // namespace

UploadNeed student_uploads(Config const& config, std::int64_t images, std::int64_t micro_batches) {
  // DINOv1 lets go of a micro-batch before it takes the next one.
  return uploads(config, config.crops, images, config.method == "dinov1" ? 1 : micro_batches);
}

UploadNeed teacher_uploads(Config const& config, SharedPasses const& passes) {
  return uploads(config, crops_of_teacher(config), passes.images, passes.micro_batches);
}

/// Its end gives the memory back: on the host to the loader, once it is copied, and on the device
/// to later batches.
class CropUpload::Started {
 public:
  Started(CropUpload& upload, StepBatch batch) : upload_(upload), batch_(std::move(batch)) {
    if (!upload.copies()) return;
    if (batch_.decoded != nullptr) {
      upload.device_crops_->start(*batch_.decoded);
    } else {
      take_memory();
      copy();
    }
  }
  Started(Started const&) = delete;
  Started& operator=(Started const&) = delete;
  ~Started() {
    try {
      give_back();
    } catch (Error const&) {  // the device has failed: what comes next says so
    }
  }
  /// Operations that run from here on may use the crops.
  CropViews const& views() {
    if (upload_.copies() && batch_.decoded != nullptr) {
      take_memory();
      place_views();
      upload_.device_crops_->make(memory_.as<float>(0, total_ / float_bytes));
    }
    memory_.acquire();
    return batch_.views;
  }

 private:
  void give_back() {
    if (!upload_.copies()) return;
    if (batch_.decoded != nullptr) upload_.device_crops_->wait(*batch_.decoded);
    memory_.release();
    memory_.wait();
    if (memory_.bytes() > 0) upload_.free_.push_back(std::move(memory_));
  }
  static constexpr auto float_bytes = static_cast<std::int64_t>(sizeof(float));

  template <class Visit>
  void for_groups(Visit const& visit) {
    std::int64_t begin = 0;
    for (auto* const group : {&batch_.views.global, &batch_.views.local, &batch_.views.gram}) {
      auto const bytes = group->size() * float_bytes;
      if (bytes > 0) visit(*group, begin, bytes);
      begin += Arena::aligned(bytes);
    }
    total_ = begin;
  }
  void take_memory() {
    for_groups([](ImageView&, std::int64_t, std::int64_t) {});
    memory_ = upload_.take_buffer(total_);
  }
  void place_views() {
    for_groups([&](ImageView& group, std::int64_t begin, std::int64_t) {
      group = {memory_.as<float>(begin, group.size()).data(), group.extents()};
    });
  }
  void copy() {
    memory_.begin();
    for_groups([&](ImageView const& group, std::int64_t begin, std::int64_t bytes) {
      memory_.copy(begin, group.data(), bytes);
    });
    memory_.finish();
    place_views();
  }

  CropUpload& upload_;
  StepBatch batch_;
  UploadBuffer memory_;
  std::int64_t total_ = 0;  ///< bytes
};

CropUpload::CropUpload(Space const& space, UploadNeed const& need) : space_(space) {
  if (!copies()) return;
  for (std::int64_t i = 0; i < need.buffers; ++i) free_.emplace_back(space_, need.bytes);
  if (need.device_crops) device_crops_.emplace(space_, *need.device_crops);
  bytes_ = need.bytes * need.buffers;
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
  at_work_ = true;
  auto started = ahead_ ? std::exchange(ahead_, nullptr) : upload_.start(make_());
  auto batch = CropUpload::take(std::move(started));
  at_work_ = false;
  poll();
  return batch;
}

void BatchesAhead::poll() {
  if (at_work_ || ahead_ || !upload_.copies() || !ready_()) return;
  at_work_ = true;
  ahead_ = upload_.start(make_());
  at_work_ = false;
}

}  // namespace dino::train
