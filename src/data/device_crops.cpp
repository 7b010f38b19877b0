// SPDX-License-Identifier: Apache-2.0
#include "data/device_crops.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.hpp"
#include "data/colour.hpp"
#include "kernels/arena.hpp"

namespace dino {
namespace {

std::int64_t most_picture_bytes(DeviceCrops::Options const& options) {
  std::int64_t most = 0;
  for (auto const& sizes : config::crop_sizes(options.crops))
    most = std::max(most, options.images * cut_picture_bytes(options.crops, sizes));
  return most;
}

constexpr std::int64_t value_count = std::int64_t{2} * 3 * 256;

[[noreturn]] void fail_too_large(DecodedImage const& image, std::int64_t needed,
                                 std::int64_t there) {
  constexpr std::int64_t mib = std::int64_t{1} << 20;
  fail(ExitCode::usage,
       "an image of {} x {} pixels needs {} MiB on the device to be cut there, and "
       "data.decoded_mib={}. Try data.decoded_mib={}, or data.augment_device=host",
       image.width, image.height, (needed + mib - 1) / mib, there / mib, (needed + mib - 1) / mib);
}

}  // namespace

DeviceCrops::DeviceCrops(Space const& space, Options const& options)
    : space_(space),
      crops_(options.crops),
      pictures_(space, most_picture_bytes(options)),
      values_(space, value_count * static_cast<std::int64_t>(sizeof(float))) {
  auto const memory = upload_memory(space);
  for (auto& part : parts_) {
    part.memory = UploadBuffer(space, options.decoded_bytes);
    part.jobs_memory = UploadVector<std::byte>(memory);
  }
  auto const values = Normalization(crops_.mean, crops_.std).values();
  copy_to_space(space_, values_.as<float>(), std::span<float const>(values));
}

std::int64_t DeviceCrops::bytes(Options const& options) {
  return 2 * options.decoded_bytes + most_picture_bytes(options) +
         value_count * static_cast<std::int64_t>(sizeof(float));
}

std::int64_t DeviceCrops::bytes() const {
  return parts_[0].memory.bytes() + parts_[1].memory.bytes() + pictures_.bytes() + values_.bytes();
}

CropPlaces DeviceCrops::places(CropBatch const& batch) {
  constexpr auto value = static_cast<std::int64_t>(sizeof(float));
  std::int64_t end = 0;
  auto const take = [&](CropGroup const& group) {
    auto const bytes = group.count * batch.images * 3 * group.size * group.size * value;
    return std::exchange(end, end + Arena::aligned(bytes) / value);
  };
  CropPlaces places;
  places.global = take(batch.global);
  places.local = take(batch.local);
  places.gram = take(batch.gram);
  places.end = end;
  return places;
}

void DeviceCrops::start(CropBatch const& batch) {
  batch_ = &batch;
  next_image_ = 0;
  filled_ = made_ = 0;
  for (std::size_t i = 0; i < parts_.size(); ++i) upload_next();
}

/// Fills a part with as many of the next images as there is room for.
void DeviceCrops::upload_next() {
  auto const& batch = *batch_;
  if (next_image_ == batch.images) return;
  auto& part = parts_[filled_++ % parts_.size()];
  part.memory.wait();  // the host's memory of its last copies is written here
  part.batch = batch_;
  part.jobs = CropJobs(crops_, batch, places(batch));
  part.memory.begin();
  std::int64_t room = part.memory.bytes(), begin = 0;
  for (auto const first = next_image_; next_image_ < batch.images; ++next_image_) {
    auto const& image = batch.decoded[static_cast<std::size_t>(next_image_)];
    CropJobs alone(crops_, batch, {});
    alone.add(next_image_, 0);
    auto const needed = decoded_bytes(image) + alone.bytes();
    if (needed > part.memory.bytes()) {
      part.memory.finish();
      wait(batch);
      fail_too_large(image, needed, part.memory.bytes());
    }
    if (needed > room && next_image_ > first) break;
    room -= needed;
    part.memory.copy(begin, image.pixels, std::int64_t{3} * image.height * image.width);
    part.jobs.add(next_image_, begin);
    begin += decoded_bytes(image);
  }
  upload_jobs(part, begin);
  part.memory.finish();
}

/// Copies the lists behind the pictures and the room for weights.
void DeviceCrops::upload_jobs(Part& part, std::int64_t pictures_end) {
  auto const weight_bytes = part.jobs.weights * static_cast<std::int64_t>(sizeof(std::int32_t));
  part.pictures_end = pictures_end;
  part.jobs_begin = pictures_end + Arena::aligned(weight_bytes);
  auto const size = part.jobs.bytes() - Arena::aligned(weight_bytes);
  if (std::ssize(part.jobs_memory) < size)
    part.jobs_memory.resize(static_cast<std::size_t>(size + size / 4));
  std::int64_t begin = 0;
  part.jobs.for_lists([&](auto const& list) {
    auto const bytes = CropJobs::bytes_of(list);
    if (bytes > 0)
      std::memcpy(part.jobs_memory.data() + begin, list.data(), static_cast<std::size_t>(bytes));
    begin += Arena::aligned(bytes);
  });
  part.memory.copy(part.jobs_begin, part.jobs_memory.data(), size);
}

void DeviceCrops::make(View<float, 1> crops) {
  for (; made_ < filled_; ++made_) {
    auto& part = parts_[made_ % parts_.size()];
    part.memory.acquire();
    run_part(part, crops);
    part.memory.release();
    upload_next();
  }
}

/// One launch or two for each kind of jobs.
void DeviceCrops::run_part(Part& part, View<float, 1> crops) const {
  auto& jobs = part.jobs;
  auto const& memory = part.memory;
  std::int64_t begin = part.jobs_begin;
  auto const next = [&]<class Job>(std::vector<Job> const& list) {
    auto const there = memory.as<Job>(begin, std::ssize(list));
    begin += Arena::aligned(CropJobs::bytes_of(list));
    return View<Job const, 1>(there);
  };
  auto const decoded = memory.as<std::uint8_t>(0, part.pictures_end);
  auto const weights = memory.as<std::int32_t>(part.pictures_end, jobs.weights);
  auto const pictures = pictures_.as<std::uint8_t>(0, jobs.picture_bytes);
  auto const longest = jobs.longest;
  run(space_, ChangeColours{.changes = next(jobs.images), .pictures = decoded});
  for (auto const* const list : {&jobs.cuts, &jobs.resizes}) {
    auto const resizes = next(*list);
    run(space_, ResizeWeights{.resizes = resizes, .longest = longest, .weights = weights});
    run(space_, ResizePictures{.pictures = list == &jobs.cuts ? decoded : pictures,
                               .weights = weights,
                               .resizes = resizes,
                               .longest = longest,
                               .out = pictures});
  }
  run(space_, ChangeColours{.changes = next(jobs.colours), .pictures = pictures});
  run(space_,
      BoxBlurPictures{.blurs = next(jobs.box_blurs), .longest = longest, .pictures = pictures});
  run(space_, GaussianBlurPictures{
                  .blurs = next(jobs.gaussian_blurs), .longest = longest, .pictures = pictures});
  run(space_, NormalizeCrops{.pictures = pictures,
                             .windows = next(jobs.windows),
                             .longest = longest,
                             .values = values_.as<float>().reshaped<3>({2, 3, 256}),
                             .crops = crops});
  run(space_, ResizeCrops{.resizes = next(jobs.crop_resizes), .longest = longest, .crops = crops});
}

void DeviceCrops::wait(CropBatch const& batch) {
  for (auto& part : parts_)
    if (part.batch == &batch) part.memory.wait();
}

}  // namespace dino
