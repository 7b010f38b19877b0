// SPDX-License-Identifier: Apache-2.0
#include "eval/features.hpp"

#include <algorithm>

namespace dino {
namespace {

template <class T>
View<T, 2> class_features(Vit<T>& backbone, Arena& arena, ImageView images) {
  auto const tokens = backbone.forward(arena, std::span(&images, 1), {}, Keep::no);
  return backbone.normalize(arena, backbone.class_tokens(arena, tokens), Keep::no);
}

/// Bytes of arena that one forward pass over `images` images needs.
template <class T>
std::int64_t arena_bytes(VitShape const& shape, std::int64_t images, std::int64_t side,
                         Processor processor) {
  Tally tally;
  Space const dry = Dry{&tally, processor};
  shard::ParameterStore<T> store(dry, shard::ShardGroups::make(Communicator::self(), 1), {},
                                 vit_units(shape, "backbone."), shard::Role::teacher);
  Vit<T> backbone(dry, shape, store, 0);
  Arena arena(dry, Arena::no_limit);
  arena.take<float, 4>({images, 3, side, side});
  class_features(backbone, arena,
                 {reinterpret_cast<float const*>(Arena::alignment), {images, 3, side, side}});
  arena.take<float, 2>({images, shape.embed_dim});
  return arena.high_water() + Arena::alignment;
}

}  // namespace

template <class T>
LabelledFeatures extract_features(Space const& space, Communicator const& comm, Vit<T>& backbone,
                                  io::ShardSet const& shards, FeatureOptions const& options) {
  auto const side = options.transform.crop_size;
  auto const mine = share_of(shards.size(), comm.rank(), comm.size());
  auto const dim = backbone.shape().embed_dim;
  Arena arena(space,
              arena_bytes<T>(backbone.shape(), options.batch_size, side, processor_of(space)));
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
    auto const features = class_features(backbone, arena, ImageView(images));
    std::vector<T> rows(static_cast<std::size_t>(features.size()));
    copy_to_host(space, std::span(rows), View<T const, 2>(features));
    for (auto const value : rows) out.features.push_back(static_cast<float>(value));
    for (auto i = begin; i < end; ++i) out.labels.push_back(shards.entry(i).label);
  }
  return out;
}

template LabelledFeatures extract_features(Space const&, Communicator const&, Vit<float>&,
                                           io::ShardSet const&, FeatureOptions const&);
template LabelledFeatures extract_features(Space const&, Communicator const&, Vit<bfloat16>&,
                                           io::ShardSet const&, FeatureOptions const&);

}  // namespace dino
