// SPDX-License-Identifier: Apache-2.0
#include "eval/raw_pixels.hpp"

namespace dino {

LabelledFeatures raw_pixel_features(Communicator const& comm, io::ShardSet const& shards,
                                    EvaluationTransform const& transform, std::int64_t workers) {
  auto const mine = share_of(shards.size(), comm.rank(), comm.size());
  LabelledFeatures out{
      .dim = 3 * transform.crop_size * transform.crop_size,
      .features = load_evaluation_images(shards, mine.begin, mine.end, transform, workers),
      .labels = {}};
  for (auto i = mine.begin; i < mine.end; ++i) out.labels.push_back(shards.entry(i).label);
  return out;
}

}  // namespace dino
