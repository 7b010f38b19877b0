// SPDX-License-Identifier: Apache-2.0
#include "eval/features.hpp"

#include <algorithm>

namespace dino {
namespace {

/// Bytes of arena that one forward pass over `images` images needs, with their pixels.
template <class T>
std::int64_t arena_bytes(Backbone<T> const& backbone, std::int64_t images, std::int64_t side) {
  auto const floats = [](std::int64_t count) {
    return Arena::aligned(count * static_cast<std::int64_t>(sizeof(float)));
  };
  return floats(images * 3 * side * side) + backbone.evaluation_bytes(images, side) +
         floats(images * backbone.dim()) + Arena::alignment;
}

}  // namespace

template <class T>
LabelledFeatures extract_features(Space const& space, Communicator const& comm,
                                  Backbone<T>& backbone, io::ShardSet const& shards,
                                  FeatureOptions const& options) {
  auto const side = options.transform.crop_size;
  auto const mine = share_of(shards.size(), comm.rank(), comm.size());
  auto const dim = backbone.dim();
  Arena arena(space, arena_bytes(backbone, options.batch_size, side));
  LabelledFeatures out{.dim = dim, .features = {}, .labels = {}};
  // Ranks may share the parameters: all run the same number of passes, some of them empty.
  auto const passes = (comm.max(mine.size()) + options.batch_size - 1) / options.batch_size;
  for (std::int64_t pass = 0; pass < passes; ++pass) {
    auto const begin = std::min(mine.end, mine.begin + pass * options.batch_size);
    auto const end = std::min(mine.end, begin + options.batch_size);
    auto const pixels =
        load_evaluation_images(shards, begin, end, options.transform, options.workers);
    ArenaScope const scope(arena);
    auto const images = arena.take<float, 4>({end - begin, 3, side, side});
    copy_to_space(space, images, std::span<float const>(pixels));
    ImageView const view(images);
    auto const features =
        backbone.features(arena, std::span(&view, 1), {}, Mode::evaluation, Keep::no);
    std::vector<T> rows(static_cast<std::size_t>(features.size()));
    copy_to_host(space, std::span(rows), View<T const, 2>(features));
    for (auto const value : rows) out.features.push_back(static_cast<float>(value));
    for (auto i = begin; i < end; ++i) out.labels.push_back(shards.entry(i).label);
  }
  return out;
}

template LabelledFeatures extract_features(Space const&, Communicator const&, Backbone<float>&,
                                           io::ShardSet const&, FeatureOptions const&);
template LabelledFeatures extract_features(Space const&, Communicator const&, Backbone<bfloat16>&,
                                           io::ShardSet const&, FeatureOptions const&);

}  // namespace dino
