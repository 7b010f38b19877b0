// SPDX-License-Identifier: Apache-2.0
#include "data/evaluation_images.hpp"

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
  require(transform.crop_size >= 1 && transform.crop_size <= transform.resize_size, ExitCode::usage,
          "eval.crop_size={} must lie in [1, eval.resize_size={}]", transform.crop_size,
          transform.resize_size);
  std::int64_t const size = 3 * transform.crop_size * transform.crop_size;
  std::vector<float> images(static_cast<std::size_t>((end - begin) * size));
  for_each_in_threads(end - begin, workers, [&] {
    return [&, augmenter = Augmenter(transform.mean, transform.std)](std::int64_t i) mutable {
      try {
        auto const picture = io::decode_image(shards.read(begin + i));
        augmenter.set_image({picture.pixels.data(), picture.width, picture.height});
      } catch (Error const& error) {
        fail(error.code(), "image {} ({}): {}", begin + i,
             shards.files()[static_cast<std::size_t>(shards.entry(begin + i).file)], error.what());
      }
      augmenter.make_evaluation_view(static_cast<int>(transform.resize_size),
                                     static_cast<int>(transform.crop_size),
                                     images.data() + i * size);
    };
  });
  return images;
}

}  // namespace dino
