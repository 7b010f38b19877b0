// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <optional>

#include "data/loader.hpp"
#include "train/make_step.hpp"
#include "train/teacher_source.hpp"
#include "train/training_step.hpp"
#include "train/upload.hpp"

namespace dino::train {

/// What a frozen teacher sees whose passes several students share: global crops and masks of this
/// rank's share of each global batch over all ranks. They are those of the students, drawn again:
/// crops are a pure function of their place in the data.
class TeacherFeed {
 public:
  TeacherFeed(Space const& space, io::ShardSet const& shards,
              std::optional<io::ShardSet> const& mixed_in, Config const& config,
              SharedPasses const& passes, std::int64_t first_step);

  /// Adds the teacher's micro-batches of the next step to a step's source.
  void serve(StepBatchSource& source);
  void poll() { ahead_.poll(); }  ///< see BatchesAhead

 private:
  StepBatch make();

  std::int64_t batch_size_, micro_batches_;
  MaskMakers masks_;
  CropUpload upload_;
  Loader loader_;
  BatchesAhead ahead_;
};

}  // namespace dino::train
