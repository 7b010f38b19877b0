// SPDX-License-Identifier: Apache-2.0
#include "train/teacher_feed.hpp"

#include <memory>
#include <utility>

#include "train/slice.hpp"

namespace dino::train {
TeacherFeed::TeacherFeed(Space const& space, io::ShardSet const& shards,
                         std::optional<io::ShardSet> const& mixed_in, Config const& config,
                         SharedPasses const& passes, std::int64_t first_step)
    : batch_size_(config.data.batch_size),
      micro_batches_(passes.micro_batches),
      masks_(make_masks(config)),
      upload_(space, teacher_uploads(config, passes)),
      loader_(shards,
              {.data = config.data,
               .crops = crops_of_teacher(config),
               .seed = config.run.seed,
               .slice = rank_slice(passes.ranks, batch_size_, config.distill.micro_batch),
               .first_step = first_step,
               .patch_size = config.student.patch_size,
               .deliver = delivery(config, space),
               .memory = upload_memory(space)},
              mixed_in),
      ahead_(
          upload_, [this] { return make(); }, [this] { return loader_.ready(); }) {}

void TeacherFeed::serve(StepBatchSource& source) {
  source.teacher_micro_batches = micro_batches_;
  source.next_of_teacher = [this] { return ahead_.next(); };
}

StepBatch TeacherFeed::make() {
  auto const batch = std::shared_ptr<HostBatch>(
      new HostBatch{.crops = loader_.next(), .drop_path = {}, .masks = {}},
      [this](HostBatch* done) {
        loader_.recycle(std::move(done->crops));
        delete done;
      });
  auto const& crops = batch->crops;
  if (auto const maker = masks_.find(crops.global.size); maker != masks_.end())
    batch->masks =
        maker->second.masks(crops.step, crops.first_position % batch_size_, crops.images);
  return {crop_views(*batch, 0, batch_size_), batch, crops.decoded.empty() ? nullptr : &crops};
}

}  // namespace dino::train
