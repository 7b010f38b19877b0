// SPDX-License-Identifier: Apache-2.0
#include "train/student_feed.hpp"

#include <memory>
#include <utility>

namespace dino::train {

StudentFeed::StudentFeed(Space const& space, Communicator const& world, io::ShardSet const& shards,
                         std::optional<io::ShardSet> const& mixed_in, Config const& config,
                         std::int64_t first_step)
    : batch_size_(config.data.batch_size),
      seed_(config.run.seed),
      depth_(model_shape(config).backbone.depth),
      student_(config.student),
      masks_(make_masks(config)),
      rope_(rope_augmentation(config)),
      upload_(space,
              student_uploads(
                  config, largest_micro_batch(world.size(), batch_size_, config.run.micro_batch),
                  micro_batches(world.size(), batch_size_, config.run.micro_batch))),
      loader_(shards,
              {.data = config.data,
               .crops = config.crops,
               .seed = config.run.seed,
               .slice = rank_slice(world, batch_size_, config.run.micro_batch),
               .first_step = first_step,
               .patch_size = config.student.patch_size,
               .deliver = delivery(config, space),
               .memory = upload_memory(space)},
              mixed_in),
      ahead_(
          upload_, [this] { return make(); }, [this] { return loader_.ready(); }) {}

StepBatch StudentFeed::next() {
  auto batch = ahead_.next();
  global_size_ = batch.views.global.extent(2);
  mixed_in_ = batch.views.mixed_in;
  return batch;
}

StepBatch StudentFeed::make() {
  auto const batch = std::shared_ptr<HostBatch>(
      new HostBatch{.crops = loader_.next(), .drop_path = {}, .masks = {}},
      [this](HostBatch* done) {
        loader_.recycle(std::move(done->crops));
        delete done;
      });
  auto const& crops = batch->crops;
  auto const first = crops.first_position % batch_size_;
  if (student_.drop_path_rate > 0 && student_.drop_path_uniform) {
    SubsetDropPath const drop{.rate = student_.drop_path_rate,
                              .depth = depth_,
                              .global_crops = crops.global.count,
                              .local_crops = crops.local.count,
                              .global_batch = batch_size_,
                              .seed = seed_};
    batch->drop_path = drop.factors(crops.step, first, crops.images);
  } else if (student_.drop_path_rate > 0) {
    batch->drop_path =
        drop_path_factors(student_.drop_path_rate, depth_, crops.global.count + crops.local.count,
                          seed_, crops.positions);
  }
  if (auto const maker = masks_.find(crops.global.size); maker != masks_.end())
    batch->masks = maker->second.masks(crops.step, first, crops.images);
  if (rope_.any()) batch->rope = rope_.draws(seed_, crops.step, depth_);
  return {crop_views(*batch, depth_, batch_size_), batch, crops.decoded.empty() ? nullptr : &crops};
}

}  // namespace dino::train
