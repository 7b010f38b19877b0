// SPDX-License-Identifier: Apache-2.0
#include "train/dense_monitor.hpp"

#include <filesystem>

#include "base/log.hpp"
#include "data/open_shards.hpp"

namespace dino::train {
namespace {

io::ShardSet open_dense_shards(Communicator const& world, Config const& config) {
  auto const& own = config.monitor.dense_shards;
  return open_shards(world, own.empty() ? config.data.shards : own,
                     config.data.file_locking ? io::FileLocking::yes : io::FileLocking::no);
}

/// Tells a list of images, and how they are cut into patches, from others.
std::string describe(io::ShardSet const& shards, std::vector<std::int64_t> const& images,
                     config::Evaluation const& eval, std::int64_t patch_size) {
  std::uint64_t digest = 14695981039346656037ULL;  // FNV-1a over the images' checksums
  for (auto const index : images) {
    digest ^= shards.entry(index).crc32;
    digest *= 1099511628211ULL;
  }
  auto const grid = eval.crop_size / patch_size;
  return fmt::format("{} images, digest {:016x}, resized to {}, cropped to {}, {} x {} patches",
                     images.size(), digest, eval.resize_size, eval.crop_size, grid, grid);
}

}  // namespace

FeatureOptions evaluation_options(Config const& config) {
  auto const& e = config.eval;
  return {.transform = {.resize_size = e.resize_size,
                        .crop_size = e.crop_size,
                        .mean = config.crops.mean,
                        .std = config.crops.std},
          .batch_size = e.batch_size,
          .workers = config.data.workers};
}

template <class T>
DenseMonitor<T>::DenseMonitor(Space const& space, Communicator const& world, Config const& config)
    : space_(space),
      world_(world),
      monitor_(config.monitor),
      run_dir_(config.run.dir),
      knn_temperature_(config.eval.knn_temperature),
      options_(evaluation_options(config)),
      shards_(open_dense_shards(world, config)),
      images_(spread_indices(shards_.size(), config.monitor.dense_images)),
      images_text_(describe(shards_, images_, config.eval, config.student.patch_size)) {
  if (monitor_.dense_probe)
    labels_ =
        load_patch_labels(world, shards_, images_, options_.transform, config.student.patch_size);
}

template <class T>
void DenseMonitor<T>::find_snapshot(std::vector<PatchFeatures> const& features, std::int64_t step) {
  if (snapshot_) return;
  auto const& given = monitor_.dense_snapshot;
  auto const path = given.empty() ? run_dir_ + "/dense_snapshot.h5" : given;
  bool const there = world_.any(world_.rank() == 0 && std::filesystem::exists(path));
  if (there || !given.empty()) {
    snapshot_ = read_snapshot(world_, path, images_text_, count());
    return;
  }
  if (step < monitor_.dense_snapshot_step) return;
  GramSnapshot snapshot{.images = images_text_,
                        .step = step,
                        .first = share_of(count(), world_.rank(), world_.size()).begin,
                        .cosines = {}};
  for (auto const& image : features) snapshot.cosines.push_back(patch_similarities(image));
  write_snapshot(world_, path, snapshot, count());
  snapshot_ = std::move(snapshot);
  if (world_.rank() == 0)
    log::info("step {}: patch similarities of {} images are kept to compare later ones with", step,
              count());
}

template <class T>
std::map<std::string, double> DenseMonitor<T>::look(Vit<T>& teacher, std::int64_t step) {
  auto const features = extract_patch_features(space_, world_, teacher, shards_, images_, options_);
  find_snapshot(features, step);
  auto const statistics = dense_statistics(world_, features, count());
  std::map<std::string, double> values{
      {"dense_patch_to_class", statistics.patch_to_class},
      {"dense_patch_to_class_deviation", statistics.patch_to_class_deviation},
      {"dense_patch_to_patch", statistics.patch_to_patch},
      {"dense_patch_to_patch_deviation", statistics.patch_to_patch_deviation},
      {"dense_adjacent_patches", statistics.adjacent}};
  if (snapshot_)
    values["dense_gram_distance"] = gram_distance(world_, features, count(), *snapshot_);
  if (monitor_.dense_probe) {
    auto const probe =
        probe_patches(world_, features, labels_, monitor_.dense_probe_k, knn_temperature_);
    values["dense_probe_accuracy"] = probe.accuracy;
    values["dense_probe_mean_iou"] = probe.mean_iou;
  }
  return values;
}

template class DenseMonitor<float>;
template class DenseMonitor<bfloat16>;

}  // namespace dino::train
