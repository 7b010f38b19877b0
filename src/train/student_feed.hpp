// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <optional>

#include "data/loader.hpp"
#include "train/drop_path.hpp"
#include "train/make_step.hpp"
#include "train/slice.hpp"
#include "train/upload.hpp"

namespace dino::train {

/// The micro-batches of this rank's share of each global batch: crops in the space's memory,
/// drop-path factors, masks and rotary draws.
class StudentFeed {
 public:
  /// \param world  the ranks that share the batches
  StudentFeed(Space const& space, Communicator const& world, io::ShardSet const& shards,
              std::optional<io::ShardSet> const& mixed_in, Config const& config,
              std::int64_t first_step);

  /// The next one. Its crops go back to the loader when the step lets go of them.
  StepBatch next();
  void poll() { ahead_.poll(); }                             ///< see BatchesAhead
  std::int64_t global_size() const { return global_size_; }  ///< of the last one, pixels
  bool mixed_in() const { return mixed_in_; }  ///< whether the last one is of the second data set
  Loader const& loader() const { return loader_; }
  CropUpload const& uploads() const { return upload_; }

 private:
  StepBatch make();

  std::int64_t batch_size_, seed_, depth_;  ///< depth: blocks of the backbone
  config::Student student_;
  MaskMakers masks_;  ///< by size of the global crops
  RopeAugmentation rope_;
  CropUpload upload_;
  Loader loader_;
  BatchesAhead ahead_;
  std::int64_t global_size_ = 0;
  bool mixed_in_ = false;
};

}  // namespace dino::train
