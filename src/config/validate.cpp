// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "config/architectures.hpp"
#include "config/ranges.hpp"

namespace dino {
namespace config {
namespace {

void area_range(std::string_view key, std::array<double, 2> const& range, std::string_view remedy) {
  check(range[0] > 0 && range[0] <= range[1] && range[1] <= 1, key, range,
        "[least, most] with 0 < least <= most <= 1", remedy);
}

void validate_run(Run const& run) {
  check(!run.dir.empty(), "run.dir", run.dir, "the path of a folder", "run");
  one_of("run.device", run.device, {"auto", "host", "cuda"});
  one_of("run.precision", run.precision, {"fp32", "bf16"});
  at_least("run.epochs", run.epochs, 1, "100");
  at_least("run.steps", run.steps, 1, "1000");
  at_least("run.stop_after_steps", run.stop_after_steps, 1, "1000");
  at_least("run.micro_batch", run.micro_batch, 1, "16");
  at_least("run.logits_mib", run.logits_mib, 1, "64");
  if (run.time_budget) positive("run.time_budget", *run.time_budget, "3600");
  not_negative("run.collective_timeout", run.collective_timeout, "1800");
  at_least("run.log_every", run.log_every, 1, "10");
  at_least("run.epoch_length", run.epoch_length, 1, "1250");
  at_least("run.skip_non_finite", run.skip_non_finite, 0, "0");
  require(run.continue_from.empty() || run.start_from.empty(), ExitCode::usage,
          "run.start_from and run.continue_from are both set: the first takes the weights of a "
          "checkpoint, the second all of it. Try leaving out one of them");
  at_least("run.head_warmup_steps", run.head_warmup_steps, 0, "0");
}

void validate_data(Data const& data) {
  at_least("data.batch_size", data.batch_size, 1, "1024");
  at_least("data.workers", data.workers, 1, "1");
  at_least("data.prefetch", data.prefetch, 1, "2");
  at_least("data.block", data.block, 1, "64");
  at_least("data.window", data.window, 1, "256");
  one_of("data.augment_device", data.augment_device, {"host", "cuda"});
  at_least("data.decoded_mib", data.decoded_mib, 1, "128");
  below_one("data.mix.share", data.mix.share, "0.1");
}

/// Crops are made on the device that trains.
void validate_augment_device(Config const& config) {
  require(config.data.augment_device == "host" || config.run.device != "host", ExitCode::usage,
          "invalid data.augment_device=\"cuda\" (run.device=host has no device). Try "
          "data.augment_device=host, or run.device=cuda");
}

void validate_colours(Crops const& crops) {
  unit_interval("crops.flip_probability", crops.flip_probability, "0.5");
  unit_interval("crops.jitter_probability", crops.jitter_probability, "0.8");
  unit_interval("crops.gray_probability", crops.gray_probability, "0.2");
  unit_interval("crops.solarize_probability", crops.solarize_probability, "0.2");
  not_negative("crops.brightness", crops.brightness, "0.4");
  not_negative("crops.contrast", crops.contrast, "0.4");
  not_negative("crops.saturation", crops.saturation, "0.2");
  check(crops.hue >= 0 && crops.hue <= 0.5, "crops.hue", crops.hue, "in [0, 0.5]", "0.1");
  one_of("crops.blur", crops.blur, {"pillow", "gaussian"});
  check(crops.blur == "pillow" || crops.blur_radius[0] > 0, "crops.blur_radius", crops.blur_radius,
        "above 0 for crops.blur=gaussian", "[0.1, 2.0]");
  for (double const probability : crops.blur_probability) {
    check(probability >= 0 && probability <= 1, "crops.blur_probability", crops.blur_probability,
          "three values in [0, 1]", "[1.0, 0.1, 0.5]");
  }
  auto const& radius = crops.blur_radius;
  check(radius[0] >= 0 && radius[0] <= radius[1] && std::isfinite(radius[1]), "crops.blur_radius",
        radius, "[least, most] with 0 <= least <= most", "[0.1, 2.0]");
  for (std::size_t channel = 0; channel < 3; ++channel) {
    check(std::isfinite(crops.mean[channel]), "crops.mean", crops.mean, "three finite numbers",
          "[0.485, 0.456, 0.406]");
    check(std::isfinite(crops.std[channel]) && crops.std[channel] > 0, "crops.std", crops.std,
          "three numbers > 0", "[0.229, 0.224, 0.225]");
  }
}

/// DINOv2 refuses images with a part of a patch left over; the others drop it (method.md 1.3).
void whole_patches(std::string_view key, std::int64_t side, std::int64_t patch_size,
                   std::string_view method) {
  check(method != "dinov2" || side % patch_size == 0, key, side,
        fmt::format("a multiple of student.patch_size={} for method=dinov2", patch_size),
        toml_text(multiple_below(side, patch_size)));
}

void validate_crops(Crops const& crops, std::int64_t patch_size, std::string_view method) {
  at_least("crops.global_size", crops.global_size, 1, "224");
  check(crops.global_size % patch_size == 0, "crops.global_size", crops.global_size,
        fmt::format("a multiple of student.patch_size={}", patch_size),
        toml_text(multiple_below(crops.global_size, patch_size)));
  at_least("crops.local_count", crops.local_count, 0, "8");
  if (crops.local_count > 0) {
    check(crops.local_size >= patch_size, "crops.local_size", crops.local_size,
          fmt::format(">= student.patch_size={}, or crops.local_count=0", patch_size),
          toml_text(patch_size));
    whole_patches("crops.local_size", crops.local_size, patch_size, method);
  }
  area_range("crops.global_scale", crops.global_scale, "[0.4, 1.0]");
  area_range("crops.local_scale", crops.local_scale, "[0.05, 0.4]");
  validate_colours(crops);
}

void validate_dino(Dino const& dino) {
  at_least("dino.out_dim", dino.out_dim, 2, "65536");
  at_least("dino.hidden_dim", dino.hidden_dim, 1, "2048");
  at_least("dino.bottleneck_dim", dino.bottleneck_dim, 1, "256");
  at_least("dino.nlayers", dino.nlayers, 1, "3");
  positive("dino.student_temp", dino.student_temp, "0.1");
  positive("dino.warmup_teacher_temp", dino.warmup_teacher_temp, "0.04");
  positive("dino.teacher_temp", dino.teacher_temp, "0.04");
  at_least("dino.warmup_teacher_temp_epochs", dino.warmup_teacher_temp_epochs, 0, "0");
  unit_interval("dino.center_momentum", dino.center_momentum, "0.9");
  one_of("dino.centering", dino.centering, {"centering", "sinkhorn_knopp"});
  at_least("dino.sinkhorn_iterations", dino.sinkhorn_iterations, 1, "3");
  not_negative("dino.loss_weight", dino.loss_weight, "1.0");
}

void validate_ibot(Ibot const& ibot) {
  not_negative("ibot.loss_weight", ibot.loss_weight, "1.0");
  at_least("ibot.out_dim", ibot.out_dim, 2, "65536");
  at_least("ibot.hidden_dim", ibot.hidden_dim, 1, "2048");
  at_least("ibot.bottleneck_dim", ibot.bottleneck_dim, 1, "256");
  at_least("ibot.nlayers", ibot.nlayers, 1, "3");
  one_of("ibot.centering", ibot.centering, {"centering", "sinkhorn_knopp"});
  unit_interval("ibot.mask_sample_probability", ibot.mask_sample_probability, "0.5");
  auto const& ratio = ibot.mask_ratio;
  check(ratio[0] >= 0 && ratio[0] <= ratio[1] && ratio[1] <= 1, "ibot.mask_ratio", ratio,
        "[least, most] with 0 <= least <= most <= 1", "[0.1, 0.5]");
}

void validate_koleo(Koleo const& koleo, std::int64_t batch_size) {
  not_negative("koleo.loss_weight", koleo.loss_weight, "0.1");
  at_least("koleo.group_size", koleo.group_size, 1, "16");
  at_least("koleo.topk", koleo.topk, 1, "1");
  if (koleo.group_size)
    check(*koleo.group_size <= batch_size, "koleo.group_size", *koleo.group_size,
          fmt::format("<= data.batch_size={}", batch_size), toml_text(batch_size));
}

void validate_optim(Optim const& optim, std::string_view method) {
  one_of("optim.optimizer", optim.optimizer, {"adamw", "sgd", "lars"});
  check(optim.optimizer == "adamw" || method == "dinov1", "optim.optimizer", optim.optimizer,
        fmt::format("adamw for method={}", method), "adamw");
  not_negative("optim.lr", optim.lr, "5e-4");
  not_negative("optim.min_lr", optim.min_lr, "1e-6");
  at_least("optim.warmup_epochs", optim.warmup_epochs, 0, "10");
  not_negative("optim.weight_decay", optim.weight_decay, "0.04");
  not_negative("optim.weight_decay_end", optim.weight_decay_end, "0.4");
  not_negative("optim.clip_grad", optim.clip_grad, "3.0");
  at_least("optim.freeze_last_layer_epochs", optim.freeze_last_layer_epochs, 0, "1");
  unit_interval("optim.momentum_teacher", optim.momentum_teacher, "0.996");
  unit_interval("optim.final_momentum_teacher", optim.final_momentum_teacher, "1.0");
  below_one("optim.beta1", optim.beta1, "0.9");
  below_one("optim.beta2", optim.beta2, "0.999");
  positive("optim.eps", optim.eps, "1e-8");
  one_of("optim.lr_scaling", optim.lr_scaling,
         {"linear_256", "sqrt_1024", "four_sqrt_1024", "none"});
  not_negative("optim.schedule_trunc_extra", optim.schedule_trunc_extra, "0.25");
  check(optim.layerwise_decay > 0 && optim.layerwise_decay <= 1, "optim.layerwise_decay",
        optim.layerwise_decay, "in (0, 1]", "0.9");
  positive("optim.patch_embed_lr_mult", optim.patch_embed_lr_mult, "0.2");
}

void validate_shard(Shard const& shard) {
  one_of("shard.collectives", shard.collectives, {"auto", "nccl", "staged"});
  one_of("shard.strategy", shard.strategy, {"full", "grad_op", "hybrid", "replicate"});
  at_least("shard.group_size", shard.group_size, 1, "8");
  require(shard.strategy != "hybrid" || shard.group_size, ExitCode::usage,
          "invalid shard.strategy=\"hybrid\" (needs shard.group_size). Try shard.group_size=8, the "
          "ranks of a node, or shard.strategy=full");
  at_least("shard.prefetch", shard.prefetch, 0, "1");
}

void validate_checkpoint(Checkpoint const& checkpoint) {
  at_least("checkpoint.every", checkpoint.every, 1, "1000");
  at_least("checkpoint.keep_last", checkpoint.keep_last, 1, "2");
  at_least("checkpoint.keep_every", checkpoint.keep_every, 0, "0");
}

void validate_evaluation(Evaluation const& eval, std::int64_t patch_size, std::string_view method) {
  at_least("eval.knn_every", eval.knn_every, 0, "0");
  require(eval.knn_every == 0 || (!eval.train_shards.empty() && !eval.test_shards.empty()),
          ExitCode::usage,
          "invalid eval.knn_every={} (needs eval.train_shards and eval.test_shards). Try setting "
          "both to folders of labelled shards, or eval.knn_every=0",
          eval.knn_every);
  bool valid = !eval.knn_k.empty();
  for (std::int64_t const k : eval.knn_k) valid = valid && k >= 1;
  check(valid, "eval.knn_k", eval.knn_k, "one or more integers >= 1", "[10, 20]");
  check(eval.crop_size >= patch_size, "eval.crop_size", eval.crop_size,
        fmt::format(">= student.patch_size={}", patch_size), toml_text(patch_size));
  whole_patches("eval.crop_size", eval.crop_size, patch_size, method);
  check(eval.resize_size >= eval.crop_size, "eval.resize_size", eval.resize_size,
        fmt::format(">= eval.crop_size={}", eval.crop_size), toml_text(eval.crop_size));
  positive("eval.knn_temperature", eval.knn_temperature, "0.07");
  at_least("eval.batch_size", eval.batch_size, 1, "64");
}

void validate_monitor(Monitor const& monitor) {
  at_least("monitor.dense_every", monitor.dense_every, 0, "1000");
  at_least("monitor.dense_images", monitor.dense_images, 2, "64");
  at_least("monitor.dense_snapshot_step", monitor.dense_snapshot_step, 0, "1000");
  at_least("monitor.dense_probe_k", monitor.dense_probe_k, 1, "20");
  below_one("monitor.dense_decay", monitor.dense_decay, "0.05");
}

}  // namespace
}  // namespace config

void Config::validate() const {
  config::one_of("method", method, {"dinov2", "dinov1", "dinov3"});
  config::validate_run(run);
  config::validate_data(data);
  config::validate_augment_device(*this);
  config::validate_student(student,
                           method);  // before the crops: it checks the patch size they divide by
  // Convnets take images of any size: their patches are pixels.
  auto const patch = config::find_convnet(student.arch) ? 1 : student.patch_size;
  config::validate_crops(crops, patch, method);
  config::validate_dino(dino);
  config::validate_ibot(ibot);
  config::validate_koleo(koleo, data.batch_size);
  config::validate_gram(*this);
  config::validate_crop_sizes(*this);
  config::validate_distill(*this);
  config::validate_schedules(*this);
  config::validate_optim(optim, method);
  config::validate_batch_norm(*this);
  config::validate_shard(shard);
  config::validate_checkpoint(checkpoint);
  config::validate_evaluation(eval, patch, method);
  config::validate_monitor(monitor);
}

void Config::require_shards() const {
  require(!data.shards.empty(), ExitCode::usage,
          "invalid data.shards=\"\" (must be a folder of image shards). Try "
          "data.shards=path/to/shards, made by dino pack or dino synth");
}

}  // namespace dino
