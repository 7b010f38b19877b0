// SPDX-License-Identifier: Apache-2.0
#include "eval/dense_statistics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "io/checkpoint.hpp"

namespace dino {
namespace {

/// Mean and standard deviation of what was added.
class Moments {
 public:
  void add(double value) {
    sum_ += value;
    squares_ += value * value;
    ++count_;
  }
  double mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }
  double deviation() const {
    if (count_ == 0) return 0;
    return std::sqrt(std::max(0.0, squares_ / static_cast<double>(count_) - mean() * mean()));
  }

 private:
  double sum_ = 0, squares_ = 0;
  std::int64_t count_ = 0;
};

constexpr std::size_t values_of_an_image = 5;

std::array<double, values_of_an_image> image_statistics(PatchFeatures const& features) {
  auto const cosines = patch_similarities(features);
  auto const n = features.count();
  Moments to_class, to_patch, adjacent;
  for (std::int64_t i = 0; i < n; ++i) {
    auto const patch = features.patch(i);
    to_class.add(std::inner_product(patch.begin(), patch.end(), features.class_token.begin(), 0.0));
    for (std::int64_t j = 0; j < n; ++j) {
      auto const cosine = static_cast<double>(cosines[static_cast<std::size_t>(i * n + j)]);
      if (i != j) to_patch.add(cosine);
      bool const right = j == i + 1 && j % features.side != 0;
      if (right || j == i + features.side) adjacent.add(cosine);
    }
  }
  return {to_class.mean(), to_class.deviation(), to_patch.mean(), to_patch.deviation(),
          adjacent.mean()};
}

/// Means over images of values of which each rank has some. They are added up in the order of the
/// images, so that the number of ranks does not show.
std::vector<double> means_over_images(Communicator const& comm, std::int64_t images,
                                      std::size_t width, auto const& fill) {
  std::vector<double> table(static_cast<std::size_t>(images) * width, 0.0);
  fill(std::span(table));
  comm.sum(std::span(table));
  std::vector<double> means(width, 0.0);
  for (std::size_t i = 0; i < table.size(); ++i)
    means[i % width] += table[i] / static_cast<double>(images);
  return means;
}

constexpr char const* array_name = "cosines";

std::vector<std::int64_t> array_shape(std::int64_t images, std::int64_t patches) {
  return {images, patches, patches};
}

}  // namespace

DenseStatistics dense_statistics(Communicator const& comm, std::span<PatchFeatures const> mine,
                                 std::int64_t images) {
  auto const means =
      means_over_images(comm, images, values_of_an_image, [&](std::span<double> table) {
        for (auto const& features : mine) {
          auto const values = image_statistics(features);
          std::copy(values.begin(), values.end(),
                    table.begin() + static_cast<std::ptrdiff_t>(features.image) *
                                        static_cast<std::ptrdiff_t>(values.size()));
        }
      });
  return {.patch_to_class = means[0],
          .patch_to_class_deviation = means[1],
          .patch_to_patch = means[2],
          .patch_to_patch_deviation = means[3],
          .adjacent = means[4]};
}

double gram_distance(Communicator const& comm, std::span<PatchFeatures const> mine,
                     std::int64_t images, GramSnapshot const& snapshot) {
  auto const means = means_over_images(comm, images, 1, [&](std::span<double> table) {
    for (auto const& features : mine) {
      auto const now = patch_similarities(features);
      auto const& then =
          snapshot.cosines.at(static_cast<std::size_t>(features.image - snapshot.first));
      require(now.size() == then.size(), ExitCode::bug, "{} cosines are compared with {}",
              now.size(), then.size());
      double sum = 0;
      for (std::size_t i = 0; i < now.size(); ++i) {
        auto const difference = static_cast<double>(now[i]) - static_cast<double>(then[i]);
        sum += difference * difference;
      }
      table[static_cast<std::size_t>(features.image)] = sum / static_cast<double>(now.size());
    }
  });
  return means[0];
}

void write_snapshot(Communicator const& comm, std::string const& path, GramSnapshot const& snapshot,
                    std::int64_t images) {
  std::vector<float> values;
  for (auto const& cosines : snapshot.cosines)
    values.insert(values.end(), cosines.begin(), cosines.end());
  auto const all = comm.sum(static_cast<std::int64_t>(values.size()));
  auto const patches = static_cast<std::int64_t>(
      std::lround(std::sqrt(static_cast<double>(all) / static_cast<double>(images))));
  io::CheckpointPart const part{.name = array_name,
                                .shape = array_shape(images, patches),
                                .offset = snapshot.first * patches * patches,
                                .values = values};
  io::write_checkpoint(comm, path, std::span(&part, 1),
                       {.integers = {{"step", snapshot.step}},
                        .reals = {},
                        .texts = {{"kind", "dense snapshot"}, {"images", snapshot.images}}});
}

GramSnapshot read_snapshot(Communicator const& comm, std::string const& path,
                           std::string const& images_text, std::int64_t images) {
  if (auto const fault = io::find_checkpoint_fault(comm, path))
    fail(ExitCode::input, "cannot use the snapshot of dense features: {}", *fault);
  auto const summary = io::read_checkpoint_summary(path);
  auto const found = summary.state.texts.find("images");
  require(found != summary.state.texts.end() && summary.arrays.size() == 1, ExitCode::usage,
          "'{}' is no snapshot of dense features. Give the dense_snapshot.h5 of a run", path);
  require(found->second == images_text, ExitCode::usage,
          "'{}' is of other images ({}) than this run looks at ({}). Set monitor.dense_shards, "
          "monitor.dense_images, eval.resize_size and eval.crop_size as there, or remove the file",
          path, found->second, images_text);
  auto const patches = summary.arrays.front().shape.at(1);
  auto const mine = share_of(images, comm.rank(), comm.size());
  std::vector<float> values(static_cast<std::size_t>(mine.size() * patches * patches));
  io::CheckpointRequest const request{.name = array_name,
                                      .shape = array_shape(images, patches),
                                      .offset = mine.begin * patches * patches,
                                      .values = values};
  io::read_checkpoint(path, std::span(&request, 1));
  GramSnapshot out{.images = images_text,
                   .step = summary.state.integers.at("step"),
                   .first = mine.begin,
                   .cosines = {}};
  auto const size = static_cast<std::ptrdiff_t>(patches * patches);
  for (auto at = values.begin(); at != values.end(); at += size)
    out.cosines.emplace_back(at, at + size);
  return out;
}

}  // namespace dino
