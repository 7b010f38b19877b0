// SPDX-License-Identifier: Apache-2.0
// Sections of the pictures: data sets, their mixture, and the crops that are cut.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dino::config {

/// A second data set, of which a share of the steps take whole batches. Source: arXiv:2508.10104,
/// section 3.1 (a tenth of the batches are of ImageNet-1k alone).
struct DataMix {
  DataMix() = default;  // no aggregate: GCC 12 warns falsely of the string in a Config{}
  std::string shards;
  double share = 0.1;
  void visit(auto&& field) {
    field("shards", shards,
          "folder of HDF5 image shards of which some steps take whole batches; empty: none");
    field("share", share,
          "share of the steps that do, drawn step by step, in [0, 1); an epoch stays one pass's "
          "worth of data.shards in steps, and no image of either set is skipped");
  }
};

struct Data {
  std::string shards;
  std::int64_t batch_size = 1024;
  std::int64_t workers = 1;
  std::int64_t prefetch = 2;
  std::int64_t block = 64;
  std::int64_t window = 256;
  std::string staging;
  bool file_locking = true;
  bool dct_scaling = false;
  std::string augment_device = "host";
  std::int64_t decoded_mib = 128;
  DataMix mix;  ///< a section of its own
  void visit(auto&& field) {
    field("shards", shards, "folder of HDF5 image shards");
    field("batch_size", batch_size, "images of one optimizer step over all ranks, >= 1");
    field("workers", workers, "decode and augmentation threads per rank, >= 1");
    field("prefetch", prefetch, "micro-batches prepared ahead of need, >= 1");
    field("block", block, "consecutive images that are read together, >= 1");
    field("window", window, "blocks whose images are shuffled among each other, >= 1");
    field("staging", staging,
          "node-local folder that the shards are copied to before the run; empty: none");
    field("file_locking", file_locking,
          "false: open shards without HDF5 file locks (for file systems that refuse them)");
    field("dct_scaling", dct_scaling,
          "true: decode large JPEGs at 1/2 size where crops stay smaller (not bit-exact)");
    field("augment_device", augment_device,
          "where decoded images become crops, host or cuda (the run's device); the same crops");
    field("decoded_mib", decoded_mib,
          "MiB of device memory, twice, for decoded images (augment_device=cuda), >= 1");
  }
};

/// Sizes of which every step has one row, in place of those of [crops]: the high-resolution stage
/// of DINOv3. Rows are drawn with their ratios, alike on all ranks. Source: method.md 7.4, 8.3.
struct CropPairs {
  std::vector<std::int64_t> global_size, local_size, gram_teacher_crops_size;
  std::vector<double> ratio;
  void visit(auto&& field) {
    field("global_size", global_size,
          "crops.global_size of each pair, of which every step has one; []: no pairs");
    field("local_size", local_size, "crops.local_size of each pair");
    field("gram_teacher_crops_size", gram_teacher_crops_size,
          "crops.gram_teacher_crops_size of each pair; []: as the student");
    field("ratio", ratio, "share of the steps that have each pair, > 0; they sum to 1");
  }
};

struct Crops {
  std::int64_t global_size = 224;
  CropPairs pairs;  ///< a section of its own
  std::array<double, 2> global_scale{0.4, 1.0};
  std::int64_t local_size = 96;
  std::int64_t local_count = 8;
  std::array<double, 2> local_scale{0.05, 0.4};
  double flip_probability = 0.5;
  double jitter_probability = 0.8;
  double brightness = 0.4;
  double contrast = 0.4;
  double saturation = 0.2;
  double hue = 0.1;
  double gray_probability = 0.2;
  std::string blur = "pillow";
  std::array<double, 3> blur_probability{1.0, 0.1, 0.5};
  std::array<double, 2> blur_radius{0.1, 2.0};
  double solarize_probability = 0.2;
  std::optional<std::int64_t> gram_teacher_crops_size;
  bool gram_teacher_no_distortions = false;
  bool share_color_jitter = false;
  bool localcrops_subset_of_globalcrops = false;
  std::array<double, 3> mean{0.485, 0.456, 0.406};
  std::array<double, 3> std{0.229, 0.224, 0.225};
  void visit(auto&& field) {
    field("global_size", global_size, "side of the two global crops, pixels");
    field("global_scale", global_scale,
          "area of a global crop as a share of the image, [least, most]");
    field("local_size", local_size, "side of the local crops, pixels");
    field("local_count", local_count, "local crops per image, >= 0");
    field("local_scale", local_scale,
          "area of a local crop as a share of the image, [least, most]");
    field("flip_probability", flip_probability, "horizontal flip, in [0, 1]");
    field("jitter_probability", jitter_probability, "colour jitter, in [0, 1]");
    field("brightness", brightness, "brightness factor in 1 +- this");
    field("contrast", contrast, "contrast factor in 1 +- this");
    field("saturation", saturation, "saturation factor in 1 +- this");
    field("hue", hue, "hue shift in +- this, turns, at most 0.5");
    field("gray_probability", gray_probability, "greyscale, in [0, 1]");
    field("blur", blur, "pillow (box approximation of a radius), or gaussian (9 taps of a sigma)");
    field("blur_probability", blur_probability, "Gaussian blur of [global 1, global 2, local]");
    field("blur_radius", blur_radius, "Gaussian blur radius or sigma, pixels, [least, most]");
    field("solarize_probability", solarize_probability, "solarization of global crop 2, in [0, 1]");
    field("gram_teacher_crops_size", gram_teacher_crops_size,
          "side of the global crops that the Gram teacher sees, pixels; unset: as the student");
    field("gram_teacher_no_distortions", gram_teacher_no_distortions,
          "true: the Gram teacher's crops have no colour changes, blur or solarization");
    field("share_color_jitter", share_color_jitter,
          "true: jitter and greyscale are drawn once and change the image before all of its crops "
          "(the Gram teacher's too) are cut");
    field("localcrops_subset_of_globalcrops", localcrops_subset_of_globalcrops,
          "true: local crops are windows of the global ones on their patch grid, half of each; "
          "crops.local_scale does not count");
    field("mean", mean, "mean of each channel, pixels in [0, 1]");
    field("std", std, "standard deviation of each channel");
  }
};

}  // namespace dino::config
