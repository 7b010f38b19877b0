// SPDX-License-Identifier: Apache-2.0
#include "eval/dense_features.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "eval/knn.hpp"

namespace dino {
namespace {

/// Final norms of the class tokens [n, D] and of all patches [n * patches, D], on the arena.
template <class T>
struct NormalizedTokens {
  View<T, 2> class_tokens, patches;
};

template <class T>
NormalizedTokens<T> normalized_tokens(Space const& space, Vit<T>& backbone, Arena& arena,
                                      ImageView images) {
  auto const tokens = backbone.forward(arena, std::span(&images, 1), {}, Keep::no);
  auto const segment = backbone.layout().segments().front();
  std::vector<std::int32_t> rows;
  for (std::int64_t i = 0; i < segment.images; ++i) {
    for (auto token = segment.prefix; token < segment.tokens(); ++token)
      rows.push_back(static_cast<std::int32_t>(i * segment.tokens() + token));
  }
  auto const there = arena.take<std::int32_t, 1>({static_cast<std::int64_t>(rows.size())});
  copy_to_space(space, there, std::span<std::int32_t const>(rows));
  RowGroup const patches{static_cast<std::int64_t>(rows.size()), TokenKind::patch};
  return {backbone.normalize(arena, backbone.class_tokens(arena, tokens), Keep::no),
          backbone.normalize(arena, backbone.gather_rows(arena, tokens, there), Keep::no,
                             std::span(&patches, 1))};
}

/// Bytes of arena that one pass over `images` images needs.
template <class T>
std::int64_t arena_bytes(VitShape const& shape, std::int64_t images, std::int64_t side) {
  Tally tally;
  Space const dry = Dry{&tally};
  shard::ParameterStore<T> store(dry, shard::ShardGroups::make(Communicator::self(), 1), {},
                                 vit_units(shape, "backbone."), shard::Role::teacher);
  Vit<T> backbone(dry, shape, store, 0);
  Arena arena(dry, Arena::no_limit);
  auto const pixels = arena.take<float, 4>({images, 3, side, side});
  normalized_tokens(dry, backbone, arena, ImageView(pixels));
  return arena.high_water() + Arena::alignment;
}

/// Rows as float32 on the host, each of unit length.
template <class T>
std::vector<float> unit_rows(Space const& space, View<T, 2> rows) {
  std::vector<T> raw(static_cast<std::size_t>(rows.size()));
  copy_to_host(space, std::span(raw), View<T const, 2>(rows));
  std::vector<float> out(raw.begin(), raw.end());
  normalize_rows(out, rows.extent(1));
  return out;
}

}  // namespace

std::vector<std::int64_t> spread_indices(std::int64_t size, std::int64_t count) {
  std::vector<std::int64_t> indices;
  auto const n = std::min(size, count);
  for (std::int64_t i = 0; i < n; ++i) indices.push_back(i * size / n);
  return indices;
}

template <class T>
std::vector<PatchFeatures> extract_patch_features(Space const& space, Communicator const& comm,
                                                  Vit<T>& backbone, io::ShardSet const& shards,
                                                  std::span<std::int64_t const> images,
                                                  FeatureOptions const& options) {
  auto const side = options.transform.crop_size;
  auto const mine = share_of(static_cast<std::int64_t>(images.size()), comm.rank(), comm.size());
  auto const dim = backbone.shape().embed_dim;
  auto const grid = side / backbone.shape().patch_size;
  auto const patches = static_cast<std::ptrdiff_t>(grid * grid * dim);
  Arena arena(space, arena_bytes<T>(backbone.shape(), options.batch_size, side));
  std::vector<PatchFeatures> out;
  // Ranks may share the parameters: all run the same number of passes, some of them empty.
  auto const passes = (comm.max(mine.size()) + options.batch_size - 1) / options.batch_size;
  for (std::int64_t pass = 0; pass < passes; ++pass) {
    auto const begin = std::min(mine.end, mine.begin + pass * options.batch_size);
    auto const end = std::min(mine.end, begin + options.batch_size);
    auto const listed =
        images.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
    auto const pixels = load_evaluation_images(shards, listed, options.transform, options.workers);
    ArenaScope const scope(arena);
    auto const crops = arena.take<float, 4>({end - begin, 3, side, side});
    copy_to_space(space, crops, std::span<float const>(pixels));
    auto const tokens = normalized_tokens(space, backbone, arena, ImageView(crops));
    auto const class_rows = unit_rows(space, tokens.class_tokens);
    auto const patch_rows = unit_rows(space, tokens.patches);
    for (auto i = begin; i < end; ++i) {
      auto const class_at = class_rows.begin() + static_cast<std::ptrdiff_t>((i - begin) * dim);
      auto const patch_at = patch_rows.begin() + static_cast<std::ptrdiff_t>(i - begin) * patches;
      out.push_back({.image = i,
                     .side = grid,
                     .dim = dim,
                     .patches = {patch_at, patch_at + patches},
                     .class_token = {class_at, class_at + static_cast<std::ptrdiff_t>(dim)}});
    }
  }
  return out;
}

std::vector<float> patch_similarities(PatchFeatures const& features) {
  auto const n = features.count();
  std::vector<float> out(static_cast<std::size_t>(n * n));
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = i; j < n; ++j) {
      auto const a = features.patch(i);
      auto const b = features.patch(j);
      auto const cosine = std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
      out[static_cast<std::size_t>(i * n + j)] = static_cast<float>(cosine);
      out[static_cast<std::size_t>(j * n + i)] = static_cast<float>(cosine);
    }
  }
  return out;
}

template std::vector<PatchFeatures> extract_patch_features(Space const&, Communicator const&,
                                                           Vit<float>&, io::ShardSet const&,
                                                           std::span<std::int64_t const>,
                                                           FeatureOptions const&);
template std::vector<PatchFeatures> extract_patch_features(Space const&, Communicator const&,
                                                           Vit<bfloat16>&, io::ShardSet const&,
                                                           std::span<std::int64_t const>,
                                                           FeatureOptions const&);

}  // namespace dino
