// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <vector>

#include "kernels/space.hpp"
#include "train/training_step.hpp"

namespace dino::train {

/// Brings the crops of micro-batches to the memory of a space. It must outlive the batches.
class CropUpload {
 public:
  explicit CropUpload(Space const& space) : space_(space) {}
  CropUpload(CropUpload const&) = delete;
  CropUpload& operator=(CropUpload const&) = delete;

  /// A batch whose crops lie on the host, as one whose crops lie in the space: on the host the same
  /// one; else copies in memory that is taken again when a batch is let go.
  StepBatch operator()(StepBatch batch);

 private:
  Buffer take(std::int64_t bytes);
  Space space_;
  std::vector<Buffer> free_;
};

}  // namespace dino::train
