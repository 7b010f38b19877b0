// SPDX-License-Identifier: Apache-2.0
#include "eval/patch_probe.hpp"

#include <algorithm>
#include <map>

#include "base/error.hpp"
#include "eval/neighbours.hpp"
#include "io/image.hpp"

namespace dino {
namespace {

constexpr std::uint16_t not_labelled = 255;
constexpr std::int64_t samples = 8;  ///< points along each side of a patch that are looked at

/// From places in the resized and cropped image back to the mask.
class MaskSampler {
 public:
  MaskSampler(io::Raster const& mask, EvaluationTransform const& transform) : mask_(mask) {
    auto const resize = static_cast<double>(transform.resize_size);
    auto const shorter = static_cast<double>(std::min(mask.width, mask.height));
    scale_ = shorter / resize;
    left_ = (mask.width / scale_ - static_cast<double>(transform.crop_size)) / 2;
    top_ = (mask.height / scale_ - static_cast<double>(transform.crop_size)) / 2;
  }
  std::uint16_t at(double x, double y) const {
    auto const column = nearest((x + left_) * scale_, mask_.width);
    auto const row = nearest((y + top_) * scale_, mask_.height);
    return mask_.values[static_cast<std::size_t>(row * mask_.width + column)];
  }

 private:
  static std::int64_t nearest(double place, std::int32_t size) {
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(place), 0, size - 1);
  }
  io::Raster const& mask_;
  double scale_ = 1, left_ = 0, top_ = 0;
};

/// The class of most points of a patch; of equals the lowest.
std::int64_t patch_class(MaskSampler const& mask, std::int64_t column, std::int64_t row,
                         std::int64_t patch_size) {
  std::map<std::uint16_t, int> counts;
  auto const point = [&](std::int64_t patch, std::int64_t sample) {
    return (static_cast<double>(patch) +
            (static_cast<double>(sample) + 0.5) / static_cast<double>(samples)) *
           static_cast<double>(patch_size);
  };
  for (std::int64_t y = 0; y < samples; ++y)
    for (std::int64_t x = 0; x < samples; ++x) ++counts[mask.at(point(column, x), point(row, y))];
  auto const most =
      std::max_element(counts.begin(), counts.end(),
                       [](auto const& a, auto const& b) { return a.second < b.second; });
  return most->first == not_labelled ? -1 : static_cast<std::int64_t>(most->first);
}

/// What votes and what is classified, of this rank.
struct ProbeSets {
  LabelledFeatures voting, tested;
};

ProbeSets probe_sets(std::span<PatchFeatures const> features, std::span<PatchLabels const> labels) {
  ProbeSets sets;
  for (std::size_t i = 0; i < features.size(); ++i) {
    require(i < labels.size() && labels[i].image == features[i].image, ExitCode::bug,
            "patch labels of other images");
    auto& set = features[i].image % 2 == 0 ? sets.voting : sets.tested;
    for (auto const patch : spread_indices(features[i].count(), patches_of_an_image)) {
      auto const label = labels[i].classes[static_cast<std::size_t>(patch)];
      if (label < 0) continue;
      auto const row = features[i].patch(patch);
      set.features.insert(set.features.end(), row.begin(), row.end());
      set.labels.push_back(label);
    }
  }
  return sets;
}

std::int64_t largest_label(LabelledFeatures const& set) {
  return set.labels.empty() ? 0 : *std::max_element(set.labels.begin(), set.labels.end());
}

/// Patches of class a that were given class b, [classes, classes], of all ranks.
std::vector<std::int64_t> confusion(Communicator const& comm, Neighbours const& neighbours,
                                    std::vector<std::int64_t> const& labels, std::int64_t classes,
                                    double temperature) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(classes * classes), 0);
  std::vector<double> scores(static_cast<std::size_t>(classes));
  for (std::int64_t row = 0; row < neighbours.rows; ++row) {
    std::fill(scores.begin(), scores.end(), 0.0);
    add_votes(neighbours, row, vote_weights(neighbours, row, temperature), neighbours.k, scores);
    auto const given = std::max_element(scores.begin(), scores.end()) - scores.begin();
    ++counts[static_cast<std::size_t>(labels[static_cast<std::size_t>(row)] * classes + given)];
  }
  comm.sum(std::span(counts));
  return counts;
}

PatchProbe scores_of(std::vector<std::int64_t> const& counts, std::int64_t classes) {
  auto const at = [&](std::int64_t a, std::int64_t b) {
    return static_cast<double>(counts[static_cast<std::size_t>(a * classes + b)]);
  };
  double right = 0, all = 0, iou = 0, present = 0;
  for (std::int64_t c = 0; c < classes; ++c) {
    double has = 0, given = 0;
    for (std::int64_t other = 0; other < classes; ++other) {
      has += at(c, other);
      given += at(other, c);
    }
    right += at(c, c);
    all += has;
    if (has + given == 0) continue;
    present += 1;
    iou += at(c, c) / (has + given - at(c, c));
  }
  return {.accuracy = 100 * right / all, .mean_iou = 100 * iou / present};
}

}  // namespace

std::vector<PatchLabels> load_patch_labels(Communicator const& comm, io::ShardSet const& shards,
                                           std::span<std::int64_t const> images,
                                           EvaluationTransform const& transform,
                                           std::int64_t patch_size) {
  auto const mine = share_of(static_cast<std::int64_t>(images.size()), comm.rank(), comm.size());
  auto const side = transform.crop_size / patch_size;
  std::vector<PatchLabels> out;
  for (auto i = mine.begin; i < mine.end; ++i) {
    auto const index = images[static_cast<std::size_t>(i)];
    auto const mask = shards.read_all(index).mask;
    require(!mask.empty(), ExitCode::usage,
            "image {} of '{}' has no mask, which monitor.dense_probe needs. Pack the masks too, or "
            "set monitor.dense_probe=false",
            index, shards.files().at(static_cast<std::size_t>(shards.entry(index).file)));
    auto const raster = io::decode_raster(mask);
    MaskSampler const sampler(raster, transform);
    PatchLabels labels{.image = i, .classes = {}};
    for (std::int64_t row = 0; row < side; ++row)
      for (std::int64_t column = 0; column < side; ++column)
        labels.classes.push_back(patch_class(sampler, column, row, patch_size));
    out.push_back(std::move(labels));
  }
  return out;
}

PatchProbe probe_patches(Communicator const& comm, std::span<PatchFeatures const> features,
                         std::span<PatchLabels const> labels, std::int64_t k, double temperature) {
  auto sets = probe_sets(features, labels);
  auto const dim = comm.max(features.empty() ? std::int64_t{0} : features.front().dim);
  sets.voting.dim = sets.tested.dim = dim;
  auto const classes =
      comm.max(std::max(largest_label(sets.voting), largest_label(sets.tested))) + 1;
  require(comm.sum(sets.voting.size()) > 0 && comm.sum(sets.tested.size()) > 0, ExitCode::usage,
          "no patch of the images of monitor.dense_shards is labelled. Raise monitor.dense_images, "
          "or set monitor.dense_probe=false");
  auto const neighbours = nearest_neighbours(comm, sets.voting, sets.tested, k);
  return scores_of(confusion(comm, neighbours, sets.tested.labels, classes, temperature), classes);
}

}  // namespace dino
