// SPDX-License-Identifier: Apache-2.0
#include "eval/knn_protocol.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace dino {

void require_same_classes(io::ShardSet const& train, io::ShardSet const& test) {
  for (auto const* set : {&train, &test}) {
    require(set->labelled(), ExitCode::usage,
            "the shards of '{}' have no labels, which k-NN needs. Pack images in one folder per "
            "class, or with a labels.csv",
            set->files().front());
  }
  require(train.class_names() == test.class_names(), ExitCode::usage,
          "'{}' has {} classes, '{}' has {}, or their names differ. Pack both from one folder with "
          "--subset, so that labels mean the same",
          train.files().front(), train.class_names().size(), test.files().front(),
          test.class_names().size());
}

std::vector<KnnResult> knn_accuracy(Communicator const& comm, LabelledFeatures train,
                                    LabelledFeatures test, std::span<std::int64_t const> ks,
                                    double temperature) {
  normalize_rows(train.features, train.dim);
  normalize_rows(test.features, test.dim);
  std::int64_t largest = 0;
  for (auto const* set : {&train, &test}) {
    for (auto const label : set->labels) largest = std::max(largest, label);
  }
  return knn_classify(comm, train, test, ks, comm.max(largest) + 1, temperature);
}

}  // namespace dino
