// SPDX-License-Identifier: Apache-2.0
#include "data/micro_batch.hpp"

#include <algorithm>
#include <numeric>

#include "comm/communicator.hpp"

namespace dino {

MicroBatch micro_batch_at(SampleOrder const& order, BatchSlice const& slice,
                          std::int64_t batch_size, std::int64_t step, std::int64_t number,
                          std::int64_t part) {
  Share const share = share_of(slice.end - slice.begin, part, slice.micro_batches);
  MicroBatch batch{.step = step, .positions = {}, .indices = {}};
  for (std::int64_t g = slice.begin + share.begin; g < slice.begin + share.end; ++g) {
    batch.positions.push_back(step * batch_size + g);
    batch.indices.push_back(order.index(number, g));
  }
  return batch;
}

std::vector<ReadRun> read_runs(std::vector<std::int64_t> const& indices, std::int64_t longest) {
  std::vector<std::int64_t> places(indices.size());
  std::iota(places.begin(), places.end(), 0);
  auto const index = [&](std::int64_t place) { return indices[static_cast<std::size_t>(place)]; };
  std::sort(places.begin(), places.end(), [&](auto a, auto b) { return index(a) < index(b); });
  std::vector<ReadRun> runs;
  for (std::int64_t const place : places) {
    bool const continues = !runs.empty() && std::ssize(runs.back().places) < longest &&
                           runs.back().begin + std::ssize(runs.back().places) == index(place);
    if (!continues) runs.push_back({index(place), {}});
    runs.back().places.push_back(place);
  }
  return runs;
}

}  // namespace dino
