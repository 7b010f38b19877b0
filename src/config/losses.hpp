// SPDX-License-Identifier: Apache-2.0
// Sections of the losses, and of schedules.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace dino::config {

/// A linear warm-up, half a cosine, then a constant; in force where `peak` is set. An epoch has
/// run.epoch_length steps. Source: method.md 6.4, Cosine-B.
struct CosineSchedule {
  double start = 0.0;
  std::optional<double> peak, end;
  std::int64_t warmup_epochs = 0;
  std::optional<std::int64_t> cosine_epochs;
  void visit(auto&& field) {
    field("start", start, "value at the start of the warm-up");
    field("peak", peak, "value after the warm-up; unset: this schedule is not in force");
    field("end", end, "value after the cosine; unset: peak");
    field("warmup_epochs", warmup_epochs, "epochs of the linear warm-up, >= 0");
    field("cosine_epochs", cosine_epochs, "epochs of the cosine, >= 0; unset: all that are left");
  }
};

/// What takes the place of the schedules of [optim] and [dino]; peak and end of the learning rate
/// are scaled by optim.lr_scaling, its start is not. Source: method.md 6.4, 8.3.
struct Schedules {
  CosineSchedule lr, weight_decay, momentum, teacher_temp;
};

/// Class tokens, and the head. Source: method.md 2, 3.1 to 3.5.
struct Dino {
  std::int64_t out_dim = 65536;
  std::int64_t hidden_dim = 2048;
  std::int64_t bottleneck_dim = 256;
  std::int64_t nlayers = 3;
  bool use_bn_in_head = false;
  bool norm_last_layer = true;
  double student_temp = 0.1;
  double warmup_teacher_temp = 0.04;
  double teacher_temp = 0.04;
  std::int64_t warmup_teacher_temp_epochs = 0;
  double center_momentum = 0.9;
  std::string centering = "centering";
  std::int64_t sinkhorn_iterations = 3;
  double loss_weight = 1.0;
  bool global_ignore_diagonal = true;
  CosineSchedule local_loss_weight_schedule;  ///< a section of its own
  void visit(auto&& field) {
    field("out_dim", out_dim, "prototypes K");
    field("hidden_dim", hidden_dim, "width of the head's MLP");
    field("bottleneck_dim", bottleneck_dim, "width before the prototypes");
    field("nlayers", nlayers, "linear layers of the head's MLP, >= 1");
    field("use_bn_in_head", use_bn_in_head,
          "true: batch norms over all ranks in the head's MLP (dinov1)");
    field("norm_last_layer", norm_last_layer,
          "true: the prototypes have unit norm; false: their norms are trained");
    field("student_temp", student_temp, "student temperature, > 0");
    field("warmup_teacher_temp", warmup_teacher_temp, "teacher temperature at the start, > 0");
    field("teacher_temp", teacher_temp, "teacher temperature after its warm-up, > 0");
    field("warmup_teacher_temp_epochs", warmup_teacher_temp_epochs,
          "epochs of the linear warm-up of the teacher temperature");
    field("center_momentum", center_momentum, "momentum of the centre, in [0, 1]");
    field("centering", centering,
          "targets by centering or sinkhorn_knopp (dinov3: always sinkhorn_knopp)");
    field("sinkhorn_iterations", sinkhorn_iterations, "iterations of Sinkhorn-Knopp, >= 1");
    field("loss_weight", loss_weight, "weight of the DINO loss (dinov2, dinov3), >= 0");
    field("global_ignore_diagonal", global_ignore_diagonal,
          "false: a global crop is compared with itself too (dinov3)");
  }
};

/// Masked patches (dinov2, dinov3). Source: method.md 3.6, 4.
struct Ibot {
  double loss_weight = 1.0;
  bool separate_head = false;
  std::int64_t out_dim = 65536;
  std::int64_t hidden_dim = 2048;
  std::int64_t bottleneck_dim = 256;
  std::int64_t nlayers = 3;
  std::string centering = "centering";
  double mask_sample_probability = 0.5;
  std::array<double, 2> mask_ratio{0.1, 0.5};
  bool mask_random_circular_shift = false;
  void visit(auto&& field) {
    field("loss_weight", loss_weight, "weight of the iBOT loss, >= 0; 0: no masks");
    field("separate_head", separate_head, "false: the DINO head serves both (dinov2)");
    field("out_dim", out_dim, "prototypes of a separate head");
    field("hidden_dim", hidden_dim, "width of a separate head's MLP");
    field("bottleneck_dim", bottleneck_dim, "width before a separate head's prototypes");
    field("nlayers", nlayers, "linear layers of a separate head's MLP, >= 1");
    field("centering", centering,
          "targets by centering or sinkhorn_knopp (dinov3: always sinkhorn_knopp)");
    field("mask_sample_probability", mask_sample_probability,
          "share of the global crops that are masked, in [0, 1]");
    field("mask_ratio", mask_ratio, "share of the patches of those, [least, most], in [0, 1]");
    field("mask_random_circular_shift", mask_random_circular_shift,
          "true: each mask is rolled by a random offset");
  }
};

/// The spread of class features (dinov2, dinov3). Source: method.md 3.7.
struct Koleo {
  double loss_weight = 0.1;
  std::optional<std::int64_t> group_size;
  std::int64_t topk = 1;
  void visit(auto&& field) {
    field("loss_weight", loss_weight, "weight of the KoLeo loss of each global crop, >= 0");
    field("group_size", group_size,
          "consecutive images of the batch among which neighbours are sought; unset: all "
          "(published: the batch of one GPU)");
    field("topk", topk, "neighbours of each image that count, >= 1");
  }
};

/// The Gram loss and its teacher (dinov3). Source: method.md 3.8.
struct Gram {
  bool use_loss = false;
  double loss_weight = 1.0;
  CosineSchedule loss_weight_schedule;  ///< a section of its own
  bool ema_teacher = false;
  std::string ckpt;
  std::optional<std::int64_t> it_load_ema_teacher;
  bool rep_update = false;
  std::int64_t update_frequency = 50000;
  std::int64_t it_first_update = 0;
  std::optional<std::int64_t> max_updates;
  bool normalized = true;
  bool img_level = true;
  bool remove_neg = false;
  bool remove_only_teacher_neg = false;
  std::string tokens_used = "all";
  std::string global_teacher_resize_method = "bicubic";
  bool global_teacher_resize_antialias = false;
  void visit(auto&& field) {
    field("use_loss", use_loss, "whether patch similarities are held to those of a Gram teacher");
    field("loss_weight", loss_weight,
          "weight of the Gram loss where gram.loss_weight_schedule is not in force, >= 0");
    field("ema_teacher", ema_teacher,
          "true: the teacher itself, of every step, is the Gram teacher");
    field("ckpt", ckpt,
          "checkpoint whose teacher is the first Gram teacher, or a run directory: of its "
          "checkpoints the one of the best mask probe (monitor.dense_probe), else the newest up "
          "to a fifth of its steps");
    field("it_load_ema_teacher", it_load_ema_teacher,
          "iteration before which the teacher becomes the Gram teacher; the loss begins there "
          "where there is no gram.ckpt");
    field("rep_update", rep_update, "whether the Gram teacher is replaced by the teacher again");
    field("update_frequency", update_frequency,
          "iterations from one replacement to the next, >= 1");
    field("it_first_update", it_first_update, "iterations before the first replacement, >= 0");
    field("max_updates", max_updates, "replacements at most, >= 0; unset: no limit");
    field("normalized", normalized, "whether similarities are cosines");
    field("img_level", img_level,
          "true: similarities within each global crop; false: of all patches of the batch");
    field("remove_neg", remove_neg, "whether negative similarities count as 0");
    field("remove_only_teacher_neg", remove_only_teacher_neg, "the same, of the Gram teacher only");
    field("tokens_used", tokens_used, "all, masked or unmasked patches of the student");
    field(
        "global_teacher_resize_method", global_teacher_resize_method,
        "how the Gram teacher's patches are resampled to the student's grid: bicubic or bilinear");
    field("global_teacher_resize_antialias", global_teacher_resize_antialias,
          "whether they are resampled with an antialiasing filter");
  }
};

}  // namespace dino::config
