// SPDX-License-Identifier: Apache-2.0
#include "data/evaluation_images.hpp"

#include <numeric>

#include "base/error.hpp"
#include "data/augment.hpp"
#include "data/parallel.hpp"
#include "io/image.hpp"

namespace dino {

std::vector<float> load_evaluation_images(io::ShardSet const& shards, std::int64_t begin,
                                          std::int64_t end, EvaluationTransform const& transform,
                                          std::int64_t workers) {
  require(0 <= begin && begin <= end && end <= shards.size(), ExitCode::bug,
          "images [{}, {}) of {} do not exist", begin, end, shards.size());
  std::vector<std::int64_t> images(static_cast<std::size_t>(end - begin));
  std::iota(images.begin(), images.end(), begin);
  return load_evaluation_images(shards, images, transform, workers);
}

std::vector<float> load_evaluation_images(io::ShardSet const& shards,
                                          std::span<std::int64_t const> images,
                                          EvaluationTransform const& transform,
                                          std::int64_t workers) {
  require(transform.crop_size >= 1 && transform.crop_size <= transform.resize_size, ExitCode::usage,
          "eval.crop_size={} must lie in [1, eval.resize_size={}]", transform.crop_size,
          transform.resize_size);
  std::int64_t const size = 3 * transform.crop_size * transform.crop_size;
  auto const count = static_cast<std::int64_t>(images.size());
  std::vector<float> pixels(static_cast<std::size_t>(count * size));
  for_each_in_threads(count, workers, [&] {
    return [&, augmenter = Augmenter(transform.mean, transform.std)](std::int64_t i) mutable {
      auto const index = images[static_cast<std::size_t>(i)];
      try {
        auto const picture = io::decode_image(shards.read(index));
        augmenter.set_image({picture.pixels.data(), picture.width, picture.height});
      } catch (Error const& error) {
        fail(error.code(), "image {} ({}): {}", index,
             shards.files()[static_cast<std::size_t>(shards.entry(index).file)], error.what());
      }
      augmenter.make_evaluation_view(static_cast<int>(transform.resize_size),
                                     static_cast<int>(transform.crop_size),
                                     pixels.data() + i * size);
    };
  });
  return pixels;
}

}  // namespace dino
