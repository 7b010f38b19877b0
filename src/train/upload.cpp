// SPDX-License-Identifier: Apache-2.0
#include "train/upload.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/arena.hpp"

namespace dino::train {
namespace {

/// Crops in the space, and what owns the rest of their batch.
struct Uploaded {
  Buffer memory;
  std::shared_ptr<void const> host;
};

}  // namespace

/// The smallest free buffer that is large enough, or a new one.
Buffer CropUpload::take(std::int64_t bytes) {
  auto best = free_.end();
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    if (it->bytes() >= bytes && (best == free_.end() || it->bytes() < best->bytes())) best = it;
  }
  if (best == free_.end()) return {space_, bytes};
  auto buffer = std::move(*best);
  free_.erase(best);
  return buffer;
}

StepBatch CropUpload::operator()(StepBatch batch) {
  if (is_host(space_) || is_dry(space_)) return batch;
  auto const bytes_of = [](ImageView const& images) {
    return images.size() * static_cast<std::int64_t>(sizeof(float));
  };
  std::array const groups{&batch.views.global, &batch.views.local, &batch.views.gram};
  std::int64_t total = 0;
  for (auto const* const group : groups) total += Arena::aligned(bytes_of(*group));
  std::shared_ptr<Uploaded> const uploaded(new Uploaded{take(total), batch.keeper},
                                           [this](Uploaded* done) {
                                             free_.push_back(std::move(done->memory));
                                             delete done;
                                           });
  std::int64_t begin = 0;
  for (auto* const group : groups) {
    auto const bytes = bytes_of(*group);
    if (bytes == 0) continue;
    auto const there = uploaded->memory.as<float>(begin, group->size());
    copy_bytes_to_space(space_, there.data(), group->data(), bytes);
    *group = {there.data(), group->extents()};
    begin += Arena::aligned(bytes);
  }
  batch.keeper = uploaded;
  return batch;
}

}  // namespace dino::train
