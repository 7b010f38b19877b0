// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/distill.hpp"
#include "config/losses.hpp"
#include "config/pictures.hpp"

namespace dino {

/// What a run is: one struct per section of the TOML file. Each has one `visit`, which reading,
/// overriding, --help, the saved copy and the unknown-key error all use; field(name, value, help).
namespace config {

struct Run {
  std::string dir = "run";
  std::int64_t seed = 0;
  std::string device = "auto";
  std::string precision = "fp32";
  std::int64_t epochs = 100;
  std::optional<std::int64_t> steps;
  std::optional<std::int64_t> stop_after_steps;
  std::optional<std::int64_t> micro_batch;
  std::int64_t logits_mib = 64;
  std::optional<double> time_budget;
  double collective_timeout = 1800;
  std::int64_t log_every = 10;
  std::optional<std::int64_t> epoch_length;
  std::int64_t skip_non_finite = 0;
  std::string start_from;
  std::string continue_from;
  std::int64_t head_warmup_steps = 0;
  bool stop_on_collapse = false;
  void visit(auto&& field) {
    field("dir", dir, "run directory: checkpoints, metrics and the resolved configuration");
    field("seed", seed, "seed of every random draw");
    field("device", device, "auto, host or cuda");
    field("precision", precision,
          "compute precision, fp32 or bf16; masters, reductions and losses are float32");
    field("epochs", epochs,
          "length of the run and of its schedules, in passes over the data, >= 1");
    field("steps", steps,
          "length of the run and of its schedules in optimizer steps, instead of epochs");
    field("stop_after_steps", stop_after_steps,
          "end (exit code 75, with a checkpoint) after this many steps; schedules stay");
    field("micro_batch", micro_batch,
          "images per rank and forward pass, >= 1; unset: the rank's whole share of the batch");
    field("logits_mib", logits_mib,
          "MiB that logits over prototypes may take on a rank; larger ones are computed in tiles, "
          ">= 1");
    field("time_budget", time_budget, "seconds after which the run saves and stops (exit code 75)");
    field("collective_timeout", collective_timeout,
          "seconds a rank waits for the others in one collective before it names it and ends all "
          "ranks, >= 0; 0: no limit");
    field("log_every", log_every, "steps between progress lines, >= 1");
    field("epoch_length", epoch_length,
          "steps that the schedules call an epoch (DINOv2: 1250); unset: one pass over the data");
    field("skip_non_finite", skip_non_finite,
          "steps in a row with NaN or Inf that are skipped before the run ends with exit code 4");
    field("start_from", start_from,
          "checkpoint whose weights a new run starts with; positions are resampled to its grid");
    field("continue_from", continue_from,
          "checkpoint of a former stage that a new run goes on from: weights, optimizer, step and "
          "place in the schedules");
    field("head_warmup_steps", head_warmup_steps,
          "steps before the schedules in which only the heads are trained, for a backbone without");
    field("stop_on_collapse", stop_on_collapse,
          "true: end with exit code 4 where the monitors see a collapse; false: warn");
  }
};

struct Student {
  std::string arch = "vit_small";
  std::int64_t patch_size = 16;
  std::optional<std::int64_t> embed_dim, depth, num_heads;
  std::vector<std::int64_t> stage_blocks;
  std::optional<double> mlp_ratio;
  bool qkv_bias = true, proj_bias = true, ffn_bias = true;
  bool mask_k_bias = false;
  std::string ffn = "mlp";
  std::string norm_layer = "layernorm";
  bool untie_cls_and_patch_norms = false;
  bool untie_global_and_local_cls_norm = false;
  std::int64_t registers = 0;
  std::optional<double> layer_scale;
  double drop_path_rate = 0.1;
  bool drop_path_uniform = false;
  double interpolate_offset = 0.1;
  bool interpolate_antialias = false;
  std::optional<double> rope_base, rope_min_period, rope_max_period;
  std::string rope_normalize = "separate";
  std::optional<double> rope_shift, rope_jitter, rope_rescale;
  void visit(auto&& field) {
    field("arch", arch,
          "vit_tiny, vit_small, vit_base, vit_large, vit_so400m, vit_huge2, vit_giant2, vit_7b, or "
          "resnet50 (dinov1)");
    field("patch_size", patch_size, "side of a patch, pixels; divides crops.global_size");
    field("embed_dim", embed_dim, "width D, instead of the architecture's");
    field("depth", depth, "blocks, instead of the architecture's");
    field("num_heads", num_heads, "attention heads, instead of the architecture's");
    field("stage_blocks", stage_blocks,
          "blocks of the four stages (resnet50); empty: the architecture's");
    field(
        "mlp_ratio", mlp_ratio,
        "hidden width of the second branch over D (SwiGLU: of which it takes 2/3), > 0; unset: 4, "
        "vit_so400m 3.777777778, vit_7b 3");
    field("qkv_bias", qkv_bias, "whether queries, keys and values have a bias");
    field("proj_bias", proj_bias, "whether the projection after attention has a bias");
    field("ffn_bias", ffn_bias, "whether the layers of the second branch have a bias");
    field("mask_k_bias", mask_k_bias, "true: the bias of the keys counts as zero (dinov3)");
    field(
        "ffn", ffn,
        "second branch of a block: mlp, swiglu (dinov2: packed), or swiglu32, swiglu64, swiglu128 "
        "(dinov3: width rounded up to a multiple of it; swiglu: of 8)");
    field("norm_layer", norm_layer,
          "layernorm (epsilon 1e-6), layernormbf16 (1e-5) or rmsnorm (1e-5) (dinov3)");
    field("untie_cls_and_patch_norms", untie_cls_and_patch_norms,
          "true: class and storage tokens have a final norm of their own (dinov3)");
    field("untie_global_and_local_cls_norm", untie_global_and_local_cls_norm,
          "true: those of local crops have another one in training (dinov3)");
    field("registers", registers, "register tokens (dinov3: storage tokens), >= 0");
    field("layer_scale", layer_scale, "first value of LayerScale, > 0; unset: none");
    field("drop_path_rate", drop_path_rate,
          "stochastic depth of the last block, rising linearly from 0; in [0, 1)");
    field("drop_path_uniform", drop_path_uniform,
          "true: the rate holds for every block, and exactly that share of the batch is dropped");
    field("interpolate_offset", interpolate_offset,
          "added to the grid's size when positions are resampled; 0 or 0.1");
    field("interpolate_antialias", interpolate_antialias,
          "whether positions are resampled with an antialiasing filter");
    field("rope_base", rope_base, "base of the rotary periods (dinov3), > 0; unset: 100");
    field("rope_min_period", rope_min_period,
          "shortest rotary period, > 0; given with rope_max_period instead of rope_base");
    field("rope_max_period", rope_max_period, "longest rotary period, >= rope_min_period");
    field("rope_normalize", rope_normalize,
          "what both coordinates of a patch are divided by: separate (its own side), max or min");
    field("rope_shift", rope_shift,
          "largest shift of the coordinates in training, >= 0; unset: none");
    field("rope_jitter", rope_jitter,
          "largest factor of each coordinate in training, >= 1; unset: none");
    field("rope_rescale", rope_rescale,
          "largest factor of both coordinates in training, >= 1; unset: none");
  }
};

struct Optim {
  std::string optimizer = "adamw";
  double lr = 5e-4;
  double min_lr = 1e-6;
  std::int64_t warmup_epochs = 10;
  double weight_decay = 0.04;
  double weight_decay_end = 0.4;
  double clip_grad = 3.0;
  std::int64_t freeze_last_layer_epochs = 1;
  double momentum_teacher = 0.996;
  double final_momentum_teacher = 1.0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  std::string lr_scaling = "linear_256";
  double schedule_trunc_extra = 0.0;
  double layerwise_decay = 1.0;
  double patch_embed_lr_mult = 1.0;
  void visit(auto&& field) {
    field("optimizer", optimizer,
          "adamw; or sgd or lars, both with momentum 0.9 (dinov1, for convnets)");
    field("lr", lr, "peak learning rate, before the scaling that optim.lr_scaling names");
    field("min_lr", min_lr, "learning rate at the end, not scaled");
    field("warmup_epochs", warmup_epochs, "epochs of linear warm-up from 0");
    field("weight_decay", weight_decay, "weight decay at the start");
    field("weight_decay_end", weight_decay_end, "weight decay at the end (cosine)");
    field("clip_grad", clip_grad,
          "largest L2 norm of the gradient of each parameter (dinov1) or module; 0: none");
    field("freeze_last_layer_epochs", freeze_last_layer_epochs,
          "epochs in which the last layer is not trained");
    field("momentum_teacher", momentum_teacher, "teacher EMA momentum at the start, in [0, 1]");
    field("final_momentum_teacher", final_momentum_teacher,
          "teacher EMA momentum at the end (cosine)");
    field("beta1", beta1, "AdamW beta 1");
    field("beta2", beta2, "AdamW beta 2");
    field("eps", eps, "AdamW epsilon");
    field("lr_scaling", lr_scaling,
          "how lr follows the batch: linear_256, sqrt_1024 (DINOv2), four_sqrt_1024 (DINOv3) or "
          "none");
    field(
        "schedule_trunc_extra", schedule_trunc_extra,
        "share by which the cosines would run on after the end, >= 0; they still end at their end");
    field("layerwise_decay", layerwise_decay,
          "factor of the learning rate for each level below the last (not dinov1), in (0, 1]");
    field("patch_embed_lr_mult", patch_embed_lr_mult,
          "further factor of the patch embedding (not dinov1), > 0");
  }
};

struct Shard {
  std::string strategy = "full";
  std::optional<std::int64_t> group_size;
  std::int64_t prefetch = 1;
  std::string collectives = "auto";
  void visit(auto&& field) {
    field("strategy", strategy, "full, grad_op, hybrid or replicate");
    field("group_size", group_size,
          "ranks that share one copy, for strategy hybrid; divides the number of ranks");
    field("prefetch", prefetch, "units gathered ahead of need, >= 0");
    field("collectives", collectives,
          "between devices: nccl, staged (through the host), or auto: nccl where it can");
  }
};

struct Checkpoint {
  std::int64_t every = 1000;
  std::int64_t keep_last = 2;
  std::int64_t keep_every = 0;
  void visit(auto&& field) {
    field("every", every, "steps between checkpoints, >= 1");
    field("keep_last", keep_last,
          "newest checkpoints that are kept, >= 1 (2 guard against a corrupt one)");
    field("keep_every", keep_every,
          "checkpoints at multiples of this many steps are kept for ever; 0: none");
  }
};

struct Evaluation {
  std::int64_t knn_every = 0;
  std::string train_shards;
  std::string test_shards;
  std::int64_t resize_size = 256;
  std::int64_t crop_size = 224;
  std::vector<std::int64_t> knn_k{10, 20, 100, 200};
  double knn_temperature = 0.07;
  std::int64_t batch_size = 64;
  void visit(auto&& field) {
    field("knn_every", knn_every, "steps between k-NN evaluations of the teacher; 0: never");
    field("train_shards", train_shards, "labelled shards that vote");
    field("test_shards", test_shards, "labelled shards that are classified");
    field("resize_size", resize_size, "shorter side after the resize, pixels");
    field("crop_size", crop_size, "side of the centre crop, pixels");
    field("knn_k", knn_k, "numbers of neighbours");
    field("knn_temperature", knn_temperature, "temperature of the votes");
    field("batch_size", batch_size, "images per rank and forward pass");
  }
};

/// Patch features, watched while training (the ways of cutting images are those of [eval]).
struct Monitor {
  std::int64_t dense_every = 0;
  std::string dense_shards;
  std::int64_t dense_images = 64;
  std::string dense_snapshot;
  std::int64_t dense_snapshot_step = 1;
  bool dense_probe = false;
  std::int64_t dense_probe_k = 20;
  double dense_decay = 0.05;
  void visit(auto&& field) {
    field("dense_every", dense_every,
          "steps between measurements of the teacher's patch features; 0: never");
    field("dense_shards", dense_shards, "shards whose images are looked at; empty: data.shards");
    field("dense_images", dense_images, "images that are looked at, evenly spread, >= 2");
    field("dense_snapshot", dense_snapshot,
          "dense_snapshot.h5 of a former stage whose patch similarities are compared with; empty: "
          "this run's own");
    field("dense_snapshot_step", dense_snapshot_step,
          "step from which the first measurement becomes this run's own snapshot, >= 0");
    field("dense_probe", dense_probe,
          "true: also classify patches by k-NN against the masks of the shards");
    field("dense_probe_k", dense_probe_k, "neighbours of a patch that vote, >= 1");
    field("dense_decay", dense_decay,
          "share of its best that dense quality must lose while k-NN rises for a warning, in "
          "[0, 1)");
  }
};

}  // namespace config

/// The whole configuration of a run. The resolved one is written to the run directory.
struct Config {
  std::string method = "dinov1";
  config::Run run;
  config::Data data;
  config::Crops crops;
  config::Student student;
  config::Dino dino;
  config::Ibot ibot;
  config::Koleo koleo;
  config::Gram gram;
  config::Distill distill;
  config::Optim optim;
  config::Schedules schedules;
  config::Shard shard;
  config::Checkpoint checkpoint;
  config::Evaluation eval;
  config::Monitor monitor;

  /// Calls section(name, struct) for each section; `method` stands before them.
  void visit_sections(auto&& section) {
    section("run", run);
    section("data", data);
    section("data.mix", data.mix);
    section("crops", crops);
    section("crops.pairs", crops.pairs);
    section("student", student);
    section("dino", dino);
    section("dino.local_loss_weight_schedule", dino.local_loss_weight_schedule);
    section("ibot", ibot);
    section("koleo", koleo);
    section("gram", gram);
    section("gram.loss_weight_schedule", gram.loss_weight_schedule);
    section("distill", distill);
    section("optim", optim);
    section("schedules.lr", schedules.lr);
    section("schedules.weight_decay", schedules.weight_decay);
    section("schedules.momentum", schedules.momentum);
    section("schedules.teacher_temp", schedules.teacher_temp);
    section("shard", shard);
    section("checkpoint", checkpoint);
    section("eval", eval);
    section("monitor", monitor);
  }

  /// Checks ranges and what must agree. \throws Error (usage) naming key, value, range and a remedy
  void validate() const;
  /// For the commands that train. \throws Error (usage) unless data.shards is set
  void require_shards() const;
};

/// Reads a TOML file and applies overrides such as "optim.lr=1e-3" (the value in TOML, strings may
/// lack quotes). `base`: values of keys that are not set. \throws Error (usage) naming file, line
/// and key; unknown keys name the nearest one
Config load_config(std::string const& path, std::span<std::string const> overrides,
                   Config const& base = {});

/// The same from TOML text; `origin` stands for the file in messages.
Config parse_config(std::string const& text, std::string const& origin,
                    std::span<std::string const> overrides, Config const& base = {});

/// The resolved configuration as TOML that load_config reads to the same values.
std::string to_toml(Config const& config);

/// One line per key: section.key, default value, meaning.
std::string describe_keys();

}  // namespace dino
