// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.hpp"
#include "config/config.hpp"

namespace dino {
namespace {

using Overrides = std::vector<std::string>;

/// The message with which validate refuses the defaults with these overrides; empty if it does not.
std::string refusal(Overrides const& overrides) {
  Config const config = parse_config("", "x.toml", overrides);
  try {
    config.validate();
  } catch (Error const& error) {
    EXPECT_EQ(error.code(), ExitCode::usage) << error.what();
    return error.what();
  }
  return {};
}

struct Refusal {
  Overrides given;
  std::string message;
};

std::vector<Refusal> const refusals{
    {{"crops.blur=gaussian", "crops.local_size=4", "student.patch_size=4"},
     "invalid crops.blur=\"gaussian\" (must be pillow for crops of 4 pixels). Try "
     "crops.blur=pillow"},
    {{"method=dinov3", "crops.blur=gaussian", "student.patch_size=4", "crops.local_size=16",
      "crops.pairs.global_size=[16, 32]", "crops.pairs.local_size=[16, 4]",
      "crops.pairs.ratio=[0.5, 0.5]"},
     "invalid crops.blur=\"gaussian\" (must be pillow for crops of 4 pixels). Try "
     "crops.blur=pillow"},
    {{"data.augment_device=gpu"},
     "invalid data.augment_device=\"gpu\" (must be host or cuda). Try data.augment_device=host"},
    {{"run.device=host", "data.augment_device=cuda"},
     "invalid data.augment_device=\"cuda\" (run.device=host has no device). Try "
     "data.augment_device=host, or run.device=cuda"},
    {{"data.decoded_mib=0"}, "invalid data.decoded_mib=0 (must be >= 1). Try data.decoded_mib=128"},
    {{"method=mae"},
     "invalid method=\"mae\" (must be dinov2, dinov1 or dinov3). Try method=dinov2"},
    {{"method=dinov2", "student.arch=resnet50"},
     "invalid student.arch=\"resnet50\" (must be a vision transformer for method=dinov2). Try "
     "student.arch=vit_small"},
    {{"student.arch=resnet50"},
     "invalid student.drop_path_rate=0.1 (must be 0 for student.arch=resnet50). Try "
     "student.drop_path_rate=0.0"},
    {{"student.arch=resnet50", "student.drop_path_rate=0", "student.patch_size=8"},
     "invalid student.patch_size=8 (student.arch=resnet50 has no such thing). Try "
     "student.patch_size=16"},
    {{"student.arch=resnet50", "student.drop_path_rate=0", "student.registers=4"},
     "invalid student.registers=4 (student.arch=resnet50 has no such thing). Try "
     "student.registers=0"},
    {{"student.arch=resnet50", "student.drop_path_rate=0", "student.depth=4"},
     "invalid student.depth=4 (student.arch=resnet50 has no such thing). Try setting no "
     "student.depth"},
    {{"student.arch=resnet50", "student.drop_path_rate=0", "student.embed_dim=100"},
     "invalid student.embed_dim=100 (must be a multiple of 32 for student.arch=resnet50). Try "
     "student.embed_dim=96"},
    {{"student.arch=resnet50", "student.drop_path_rate=0", "student.stage_blocks=[3, 4]"},
     "invalid student.stage_blocks=[3, 4] (must be four integers >= 1, or empty). Try "
     "student.stage_blocks=[3, 4, 6, 3]"},
    {{"student.arch=resnet50", "student.drop_path_rate=0", "crops.local_size=24"},
     "invalid crops.local_size=24 (must be >= 32). Try crops.local_size=96"},
    {{"student.arch=resnet50", "student.drop_path_rate=0", "monitor.dense_every=5"},
     "invalid monitor.dense_every=5 (must be 0 for student.arch=resnet50, which has no patches). "
     "Try monitor.dense_every=0"},
    {{"student.arch=resnet50", "student.drop_path_rate=0", "run.micro_batch=4"},
     "invalid run.micro_batch=4 (with student.arch=resnet50 batch norms take the statistics of the "
     "whole batch). Try setting no run.micro_batch, but more ranks or a smaller "
     "data.batch_size"},
    {{"dino.use_bn_in_head=true", "run.micro_batch=4"},
     "invalid run.micro_batch=4 (with dino.use_bn_in_head=true batch norms take the statistics of "
     "the whole batch). Try setting no run.micro_batch, but more ranks or a smaller "
     "data.batch_size"},
    {{"method=dinov2", "dino.use_bn_in_head=true"},
     "invalid dino.use_bn_in_head=true (must be false for method=dinov2). Try "
     "dino.use_bn_in_head=false"},
    {{"student.stage_blocks=[1, 1, 1, 1]"},
     "invalid student.stage_blocks=[1, 1, 1, 1] (must be empty for a vision transformer). Try "
     "student.stage_blocks=[]"},
    {{"optim.optimizer=adam"},
     "invalid optim.optimizer=\"adam\" (must be adamw, sgd or lars). Try optim.optimizer=adamw"},
    {{"method=dinov2", "optim.optimizer=lars"},
     "invalid optim.optimizer=\"lars\" (must be adamw for method=dinov2). Try "
     "optim.optimizer=adamw"},
    {{"koleo.topk=0"}, "invalid koleo.topk=0 (must be >= 1). Try koleo.topk=1"},
    {{"optim.schedule_trunc_extra=-1"},
     "invalid optim.schedule_trunc_extra=-1.0 (must be >= 0). Try optim.schedule_trunc_extra=0.25"},
    {{"schedules.lr.peak=-1"},
     "invalid schedules.lr.peak=-1.0 (must be >= 0). Try schedules.lr.peak=1e-4"},
    {{"schedules.lr.end=1.0"},
     "invalid schedules.lr.end=1.0 (needs schedules.lr.peak). Try schedules.lr.peak=1.0"},
    {{"schedules.lr.warmup_epochs=-1"},
     "invalid schedules.lr.warmup_epochs=-1 (must be >= 0). Try schedules.lr.warmup_epochs=10"},
    {{"schedules.lr.cosine_epochs=-1"},
     "invalid schedules.lr.cosine_epochs=-1 (must be >= 0). Try schedules.lr.cosine_epochs=10"},
    {{"schedules.momentum.peak=0.9", "schedules.momentum.end=1.5"},
     "invalid schedules.momentum.end=1.5 (must be in [0, 1]). Try schedules.momentum.end=0.994"},
    {{"schedules.teacher_temp.peak=0.07", "schedules.teacher_temp.warmup_epochs=1"},
     "invalid schedules.teacher_temp.start=0.0 (must be > 0). Try "
     "schedules.teacher_temp.start=0.07"},
    {{"schedules.weight_decay.peak=nan"},
     "invalid schedules.weight_decay.peak=nan (must be >= 0). Try "
     "schedules.weight_decay.peak=0.04"},
    {{"dino.local_loss_weight_schedule.peak=-1"},
     "invalid dino.local_loss_weight_schedule.peak=-1.0 (must be >= 0). Try "
     "dino.local_loss_weight_schedule.peak=0.5"},
    {{"gram.loss_weight=-1"},
     "invalid gram.loss_weight=-1.0 (must be >= 0). Try gram.loss_weight=1.0"},
    {{"gram.loss_weight_schedule.peak=-1"},
     "invalid gram.loss_weight_schedule.peak=-1.0 (must be >= 0). Try "
     "gram.loss_weight_schedule.peak=2.0"},
    {{"gram.tokens_used=some"},
     "invalid gram.tokens_used=\"some\" (must be all, masked or unmasked). Try "
     "gram.tokens_used=all"},
    {{"gram.tokens_used=masked"},
     "invalid gram.img_level=true (must be false with gram.tokens_used=masked). Try "
     "gram.img_level=false"},
    {{"gram.tokens_used=masked", "gram.img_level=false", "ibot.loss_weight=0"},
     "invalid gram.tokens_used=\"masked\" (must be all without masks (ibot.loss_weight=0)). Try "
     "gram.tokens_used=all"},
    {{"gram.global_teacher_resize_method=nearest"},
     "invalid gram.global_teacher_resize_method=\"nearest\" (must be bicubic or bilinear). Try "
     "gram.global_teacher_resize_method=bicubic"},
    {{"gram.remove_neg=true", "gram.remove_only_teacher_neg=true"},
     "invalid gram.remove_only_teacher_neg=true (must be false with gram.remove_neg=true). Try "
     "gram.remove_only_teacher_neg=false"},
    {{"gram.it_load_ema_teacher=-1"},
     "invalid gram.it_load_ema_teacher=-1 (must be >= 0). Try gram.it_load_ema_teacher=0"},
    {{"gram.update_frequency=0"},
     "invalid gram.update_frequency=0 (must be >= 1). Try gram.update_frequency=10000"},
    {{"gram.it_first_update=-1"},
     "invalid gram.it_first_update=-1 (must be >= 0). Try gram.it_first_update=0"},
    {{"gram.max_updates=-1"}, "invalid gram.max_updates=-1 (must be >= 0). Try gram.max_updates=3"},
    {{"gram.use_loss=true"},
     "invalid gram.use_loss=true (the Gram loss belongs to dinov3). Try method=dinov3, or "
     "gram.use_loss=false"},
    {{"method=dinov3", "gram.use_loss=true"},
     "invalid gram.use_loss=true (there is no Gram teacher). Try gram.ckpt=CHECKPOINT, "
     "gram.it_load_ema_teacher=0 or gram.ema_teacher=true"},
    {{"method=dinov3", "gram.use_loss=true", "gram.ema_teacher=true", "gram.ckpt=a.h5"},
     "invalid gram.ckpt with gram.ema_teacher=true (the Gram teacher is the teacher itself). Try "
     "gram.ckpt=\"\", or gram.ema_teacher=false"},
    {{"method=dinov3", "gram.use_loss=true", "gram.ema_teacher=true", "gram.rep_update=true"},
     "invalid gram.rep_update with gram.ema_teacher=true (the Gram teacher is the teacher itself). "
     "Try gram.rep_update=false, or gram.ema_teacher=false"},
    {{"method=dinov3", "gram.use_loss=true", "gram.ema_teacher=true",
      "crops.gram_teacher_crops_size=448"},
     "invalid crops.gram_teacher_crops_size with gram.ema_teacher=true (the Gram teacher is the "
     "teacher itself). Try leaving it out, or gram.ema_teacher=false"},
    {{"crops.gram_teacher_crops_size=100"},
     "invalid crops.gram_teacher_crops_size=100 (must be a multiple of student.patch_size=16). Try "
     "crops.gram_teacher_crops_size=448"},
    {{"student.mask_k_bias=true"},
     "invalid student.mask_k_bias=true (only method=dinov3 has it). Try method=dinov3"},
    {{"method=dinov2", "student.untie_cls_and_patch_norms=true"},
     "invalid student.untie_cls_and_patch_norms=true (only method=dinov3 has it). Try "
     "method=dinov3"},
    {{"student.untie_global_and_local_cls_norm=true"},
     "invalid student.untie_global_and_local_cls_norm=true (only method=dinov3 has it). Try "
     "method=dinov3"},
    {{"student.norm_layer=rmsnorm"},
     "invalid student.norm_layer=\"rmsnorm\" (only method=dinov3 has it). Try method=dinov3"},
    {{"method=dinov3", "student.norm_layer=batchnorm"},
     "invalid student.norm_layer=\"batchnorm\" (must be layernorm, layernormbf16 or rmsnorm). Try "
     "student.norm_layer=layernorm"},
    {{"student.rope_rescale=2"},
     "invalid student.rope_rescale=2.0 (only method=dinov3 has it). Try method=dinov3"},
    {{"student.rope_normalize=max"},
     "invalid student.rope_normalize=\"max\" (only method=dinov3 has it). Try method=dinov3"},
    {{"method=dinov3", "student.rope_normalize=mean"},
     "invalid student.rope_normalize=\"mean\" (must be separate, max or min). Try "
     "student.rope_normalize=separate"},
    {{"method=dinov3", "student.rope_base=0"},
     "invalid student.rope_base=0.0 (must be > 0). Try student.rope_base=100"},
    {{"method=dinov3", "student.rope_min_period=-1", "student.rope_max_period=9"},
     "invalid student.rope_min_period=-1.0 (must be > 0). Try student.rope_min_period=1"},
    {{"method=dinov3", "student.rope_base=100", "student.rope_min_period=1",
      "student.rope_max_period=9"},
     "invalid student.rope_base=100.0 (excludes student.rope_min_period and "
     "student.rope_max_period). Try setting either the base or the periods"},
    {{"method=dinov3", "student.rope_min_period=200"},
     "invalid student.rope_min_period=200.0 (needs student.rope_max_period). Try "
     "student.rope_max_period=200.0"},
    {{"method=dinov3", "student.rope_max_period=40"},
     "invalid student.rope_max_period=40.0 (needs student.rope_min_period). Try "
     "student.rope_min_period=1.0"},
    {{"method=dinov3", "student.rope_min_period=2", "student.rope_max_period=1"},
     "invalid student.rope_max_period=1.0 (must be >= student.rope_min_period=2.0). Try "
     "student.rope_max_period=2.0"},
    {{"method=dinov3", "student.rope_shift=-1"},
     "invalid student.rope_shift=-1.0 (must be >= 0). Try student.rope_shift=0.5"},
    {{"method=dinov3", "student.rope_jitter=0.5"},
     "invalid student.rope_jitter=0.5 (must be >= 1). Try student.rope_jitter=2"},
    {{"method=dinov3", "student.rope_rescale=nan"},
     "invalid student.rope_rescale=nan (must be >= 1). Try student.rope_rescale=2"},
    {{"method=dinov3", "student.num_heads=64"},
     "invalid student.embed_dim=384 (must be a multiple of 4 x student.num_heads=64). Try "
     "student.embed_dim=256"},
    {{"student.ffn=swiglu32"},
     "invalid student.ffn=\"swiglu32\" (must be mlp or swiglu). Try student.ffn=mlp"},
    {{"method=dinov3", "student.ffn=geglu"},
     "invalid student.ffn=\"geglu\" (must be mlp, swiglu, swiglu32, swiglu64 or swiglu128). Try "
     "student.ffn=mlp"},
    {{"data.mix.share=1"},
     "invalid data.mix.share=1.0 (must be in [0, 1)). Try data.mix.share=0.1"},
    {{"crops.pairs.ratio=[1]"},
     "invalid crops.pairs.ratio=[1.0] (must be empty where crops.pairs.global_size is). Try "
     "crops.pairs.ratio=[]"},
    {{"crops.pairs.global_size=[64, 96]", "crops.pairs.ratio=[0.5, 0.5]"},
     "invalid crops.pairs.local_size=[] (must be 2 long, as crops.pairs.global_size). Try "
     "crops.pairs.local_size=[96, 96]"},
    {{"crops.pairs.global_size=[64, 96]", "crops.pairs.local_size=[32, 32]"},
     "invalid crops.pairs.ratio=[] (must be 2 long, as crops.pairs.global_size). Try "
     "crops.pairs.ratio=[0.5, 0.5]"},
    {{"crops.pairs.global_size=[64, 96]", "crops.pairs.local_size=[32, 32]",
      "crops.pairs.ratio=[0.5, 0.5]", "crops.pairs.gram_teacher_crops_size=[96]"},
     "invalid crops.pairs.gram_teacher_crops_size=[96] (must be 2 long, as "
     "crops.pairs.global_size). Try crops.pairs.gram_teacher_crops_size=[]"},
    {{"crops.pairs.global_size=[64, 96]", "crops.pairs.local_size=[32, 32]",
      "crops.pairs.ratio=[0.5, 0.6]"},
     "invalid crops.pairs.ratio=[0.5, 0.6] (must be shares that sum to 1, not 1.1). Try "
     "crops.pairs.ratio=[0.5, 0.5]"},
    {{"crops.pairs.global_size=[64, 96]", "crops.pairs.local_size=[32, 32]",
      "crops.pairs.ratio=[1, 0]"},
     "invalid crops.pairs.ratio=[1.0, 0.0] (must be shares > 0). Try "
     "crops.pairs.ratio=[0.5, 0.5]"},
    {{"crops.pairs.global_size=[64, 100]", "crops.pairs.local_size=[32, 32]",
      "crops.pairs.ratio=[0.5, 0.5]"},
     "invalid crops.pairs.global_size=[64, 100] (must be multiples of student.patch_size=16). Try "
     "crops.pairs.global_size=[64, 96]"},
    {{"crops.pairs.global_size=[64]", "crops.pairs.local_size=[32]", "crops.pairs.ratio=[1]",
      "crops.pairs.gram_teacher_crops_size=[0]"},
     "invalid crops.pairs.gram_teacher_crops_size=[0] (must be multiples of "
     "student.patch_size=16). "
     "Try crops.pairs.gram_teacher_crops_size=[16]"},
    {{"crops.pairs.global_size=[64]", "crops.pairs.local_size=[8]", "crops.pairs.ratio=[1]"},
     "invalid crops.pairs.local_size=[8] (must be sizes >= student.patch_size=16). Try "
     "crops.pairs.local_size=[16]"},
    {{"method=dinov2", "crops.pairs.global_size=[64]", "crops.pairs.local_size=[40]",
      "crops.pairs.ratio=[1]"},
     "invalid crops.pairs.local_size=[40] (must be multiples of student.patch_size=16). Try "
     "crops.pairs.local_size=[32]"},
    {{"crops.pairs.global_size=[64]", "crops.pairs.local_size=[32]", "crops.pairs.ratio=[1]",
      "crops.gram_teacher_crops_size=96"},
     "invalid crops.gram_teacher_crops_size=96 with crops.pairs (each pair has its own). Try "
     "setting crops.pairs.gram_teacher_crops_size=[96] instead"},
    {{"method=dinov3", "gram.use_loss=true", "gram.ema_teacher=true",
      "crops.pairs.global_size=[64]", "crops.pairs.local_size=[32]", "crops.pairs.ratio=[1]",
      "crops.pairs.gram_teacher_crops_size=[96]"},
     "invalid crops.pairs.gram_teacher_crops_size with gram.ema_teacher=true (the Gram teacher is "
     "the teacher itself). Try leaving it out, or gram.ema_teacher=false"},
    {{"crops.localcrops_subset_of_globalcrops=true", "crops.local_count=3"},
     "invalid crops.localcrops_subset_of_globalcrops=true (half of crops.local_count=3 come from "
     "each global crop). Try crops.localcrops_subset_of_globalcrops=false"},
    {{"crops.localcrops_subset_of_globalcrops=true", "crops.gram_teacher_crops_size=448"},
     "invalid crops.localcrops_subset_of_globalcrops=true (crops are cut at 448 pixels for the "
     "Gram "
     "teacher, global ones have 224). Try crops.localcrops_subset_of_globalcrops=false"},
    {{"crops.localcrops_subset_of_globalcrops=true", "crops.pairs.global_size=[96, 64]",
      "crops.pairs.local_size=[48, 49]", "crops.pairs.ratio=[0.5, 0.5]"},
     "invalid crops.localcrops_subset_of_globalcrops=true (local crops of 49 pixels leave no "
     "choice "
     "of a place in global ones of 64). Try crops.localcrops_subset_of_globalcrops=false"},
    {{"method=dinov2", "crops.local_size=100"},
     "invalid crops.local_size=100 (must be a multiple of student.patch_size=16 for "
     "method=dinov2). Try crops.local_size=96"},
    {{"method=dinov2", "eval.crop_size=225"},
     "invalid eval.crop_size=225 (must be a multiple of student.patch_size=16 for "
     "method=dinov2). Try eval.crop_size=224"},
    {{"run.epoch_length=0"},
     "invalid run.epoch_length=0 (must be >= 1). Try run.epoch_length=1250"},
    {{"run.skip_non_finite=-1"},
     "invalid run.skip_non_finite=-1 (must be >= 0). Try run.skip_non_finite=0"},
    {{"run.head_warmup_steps=-1"},
     "invalid run.head_warmup_steps=-1 (must be >= 0). Try run.head_warmup_steps=0"},
    {{"student.registers=-1"},
     "invalid student.registers=-1 (must be >= 0). Try student.registers=4"},
    {{"student.layer_scale=0"},
     "invalid student.layer_scale=0.0 (must be > 0). Try student.layer_scale=1e-5"},
    {{"student.interpolate_offset=-1"},
     "invalid student.interpolate_offset=-1.0 (must be >= 0). Try student.interpolate_offset=0.1"},
    {{"dino.sinkhorn_iterations=0"},
     "invalid dino.sinkhorn_iterations=0 (must be >= 1). Try dino.sinkhorn_iterations=3"},
    {{"dino.loss_weight=-1"},
     "invalid dino.loss_weight=-1.0 (must be >= 0). Try dino.loss_weight=1.0"},
    {{"ibot.loss_weight=-1"},
     "invalid ibot.loss_weight=-1.0 (must be >= 0). Try ibot.loss_weight=1.0"},
    {{"ibot.out_dim=1"}, "invalid ibot.out_dim=1 (must be >= 2). Try ibot.out_dim=65536"},
    {{"ibot.hidden_dim=0"}, "invalid ibot.hidden_dim=0 (must be >= 1). Try ibot.hidden_dim=2048"},
    {{"ibot.bottleneck_dim=0"},
     "invalid ibot.bottleneck_dim=0 (must be >= 1). Try ibot.bottleneck_dim=256"},
    {{"ibot.nlayers=0"}, "invalid ibot.nlayers=0 (must be >= 1). Try ibot.nlayers=3"},
    {{"ibot.mask_sample_probability=2"},
     "invalid ibot.mask_sample_probability=2.0 (must be in [0, 1]). Try "
     "ibot.mask_sample_probability=0.5"},
    {{"ibot.mask_ratio=[0.5, 0.1]"},
     "invalid ibot.mask_ratio=[0.5, 0.1] (must be [least, most] with 0 <= least <= most <= 1). Try "
     "ibot.mask_ratio=[0.1, 0.5]"},
    {{"koleo.loss_weight=-1"},
     "invalid koleo.loss_weight=-1.0 (must be >= 0). Try koleo.loss_weight=0.1"},
    {{"koleo.group_size=0"}, "invalid koleo.group_size=0 (must be >= 1). Try koleo.group_size=16"},
    {{"optim.layerwise_decay=0"},
     "invalid optim.layerwise_decay=0.0 (must be in (0, 1]). Try optim.layerwise_decay=0.9"},
    {{"optim.patch_embed_lr_mult=0"},
     "invalid optim.patch_embed_lr_mult=0.0 (must be > 0). Try optim.patch_embed_lr_mult=0.2"},
    {{"run.dir="}, "invalid run.dir=\"\" (must be the path of a folder). Try run.dir=run"},
    {{"run.device=gpu"},
     "invalid run.device=\"gpu\" (must be auto, host or cuda). Try run.device=auto"},
    {{"run.precision=fp16"},
     "invalid run.precision=\"fp16\" (must be fp32 or bf16). Try run.precision=fp32"},
    {{"run.epochs=0"}, "invalid run.epochs=0 (must be >= 1). Try run.epochs=100"},
    {{"run.steps=0"}, "invalid run.steps=0 (must be >= 1). Try run.steps=1000"},
    {{"run.stop_after_steps=0"},
     "invalid run.stop_after_steps=0 (must be >= 1). Try run.stop_after_steps=1000"},
    {{"run.micro_batch=0"}, "invalid run.micro_batch=0 (must be >= 1). Try run.micro_batch=16"},
    {{"run.logits_mib=0"}, "invalid run.logits_mib=0 (must be >= 1). Try run.logits_mib=64"},
    {{"run.log_every=0"}, "invalid run.log_every=0 (must be >= 1). Try run.log_every=10"},
    {{"data.batch_size=0"}, "invalid data.batch_size=0 (must be >= 1). Try data.batch_size=1024"},
    {{"data.workers=0"}, "invalid data.workers=0 (must be >= 1). Try data.workers=1"},
    {{"data.prefetch=0"}, "invalid data.prefetch=0 (must be >= 1). Try data.prefetch=2"},
    {{"data.block=0"}, "invalid data.block=0 (must be >= 1). Try data.block=64"},
    {{"data.window=0"}, "invalid data.window=0 (must be >= 1). Try data.window=256"},
    {{"crops.global_size=0"},
     "invalid crops.global_size=0 (must be >= 1). Try crops.global_size=224"},
    {{"crops.local_count=-1"},
     "invalid crops.local_count=-1 (must be >= 0). Try crops.local_count=8"},
    {{"student.patch_size=0"},
     "invalid student.patch_size=0 (must be >= 1). Try student.patch_size=16"},
    {{"student.embed_dim=0"},
     "invalid student.embed_dim=0 (must be >= 1). Try student.embed_dim=384"},
    {{"student.depth=0"}, "invalid student.depth=0 (must be >= 1). Try student.depth=12"},
    {{"student.num_heads=0"},
     "invalid student.num_heads=0 (must be >= 1). Try student.num_heads=6"},
    {{"dino.out_dim=1"}, "invalid dino.out_dim=1 (must be >= 2). Try dino.out_dim=65536"},
    {{"dino.hidden_dim=0"}, "invalid dino.hidden_dim=0 (must be >= 1). Try dino.hidden_dim=2048"},
    {{"dino.bottleneck_dim=0"},
     "invalid dino.bottleneck_dim=0 (must be >= 1). Try dino.bottleneck_dim=256"},
    {{"dino.nlayers=0"}, "invalid dino.nlayers=0 (must be >= 1). Try dino.nlayers=3"},
    {{"dino.warmup_teacher_temp_epochs=-1"},
     "invalid dino.warmup_teacher_temp_epochs=-1 (must be >= 0). Try "
     "dino.warmup_teacher_temp_epochs=0"},
    {{"optim.warmup_epochs=-1"},
     "invalid optim.warmup_epochs=-1 (must be >= 0). Try optim.warmup_epochs=10"},
    {{"optim.freeze_last_layer_epochs=-1"},
     "invalid optim.freeze_last_layer_epochs=-1 (must be >= 0). Try "
     "optim.freeze_last_layer_epochs=1"},
    {{"shard.group_size=0"}, "invalid shard.group_size=0 (must be >= 1). Try shard.group_size=8"},
    {{"shard.prefetch=-1"}, "invalid shard.prefetch=-1 (must be >= 0). Try shard.prefetch=1"},
    {{"checkpoint.every=0"},
     "invalid checkpoint.every=0 (must be >= 1). Try checkpoint.every=1000"},
    {{"checkpoint.keep_last=0"},
     "invalid checkpoint.keep_last=0 (must be >= 1). Try checkpoint.keep_last=2"},
    {{"checkpoint.keep_every=-1"},
     "invalid checkpoint.keep_every=-1 (must be >= 0). Try checkpoint.keep_every=0"},
    {{"eval.knn_every=-1"}, "invalid eval.knn_every=-1 (must be >= 0). Try eval.knn_every=0"},
    {{"eval.batch_size=0"}, "invalid eval.batch_size=0 (must be >= 1). Try eval.batch_size=64"},
    {{"run.collective_timeout=-1"},
     "invalid run.collective_timeout=-1.0 (must be >= 0). Try run.collective_timeout=1800"},
    {{"run.time_budget=0"}, "invalid run.time_budget=0.0 (must be > 0). Try run.time_budget=3600"},
    {{"student.mlp_ratio=0"},
     "invalid student.mlp_ratio=0.0 (must be > 0). Try student.mlp_ratio=4.0"},
    {{"dino.student_temp=0"},
     "invalid dino.student_temp=0.0 (must be > 0). Try dino.student_temp=0.1"},
    {{"dino.warmup_teacher_temp=0"},
     "invalid dino.warmup_teacher_temp=0.0 (must be > 0). Try dino.warmup_teacher_temp=0.04"},
    {{"dino.teacher_temp=0"},
     "invalid dino.teacher_temp=0.0 (must be > 0). Try dino.teacher_temp=0.04"},
    {{"optim.eps=0"}, "invalid optim.eps=0.0 (must be > 0). Try optim.eps=1e-8"},
    {{"eval.knn_temperature=0"},
     "invalid eval.knn_temperature=0.0 (must be > 0). Try eval.knn_temperature=0.07"},
    {{"dino.teacher_temp=nan"},
     "invalid dino.teacher_temp=nan (must be > 0). Try dino.teacher_temp=0.04"},
    {{"optim.lr=-1"}, "invalid optim.lr=-1.0 (must be >= 0). Try optim.lr=5e-4"},
    {{"optim.lr=nan"}, "invalid optim.lr=nan (must be >= 0). Try optim.lr=5e-4"},
    {{"optim.lr=inf"}, "invalid optim.lr=inf (must be >= 0). Try optim.lr=5e-4"},
    {{"crops.brightness=-0.5"},
     "invalid crops.brightness=-0.5 (must be >= 0). Try crops.brightness=0.4"},
    {{"crops.contrast=-0.5"}, "invalid crops.contrast=-0.5 (must be >= 0). Try crops.contrast=0.4"},
    {{"crops.saturation=-0.5"},
     "invalid crops.saturation=-0.5 (must be >= 0). Try crops.saturation=0.2"},
    {{"optim.min_lr=-0.5"}, "invalid optim.min_lr=-0.5 (must be >= 0). Try optim.min_lr=1e-6"},
    {{"optim.weight_decay=-0.5"},
     "invalid optim.weight_decay=-0.5 (must be >= 0). Try optim.weight_decay=0.04"},
    {{"optim.weight_decay_end=-0.5"},
     "invalid optim.weight_decay_end=-0.5 (must be >= 0). Try optim.weight_decay_end=0.4"},
    {{"optim.clip_grad=-0.5"},
     "invalid optim.clip_grad=-0.5 (must be >= 0). Try optim.clip_grad=3.0"},
    {{"crops.flip_probability=1.5"},
     "invalid crops.flip_probability=1.5 (must be in [0, 1]). Try crops.flip_probability=0.5"},
    {{"crops.flip_probability=-0.5"},
     "invalid crops.flip_probability=-0.5 (must be in [0, 1]). Try crops.flip_probability=0.5"},
    {{"crops.jitter_probability=1.5"},
     "invalid crops.jitter_probability=1.5 (must be in [0, 1]). Try crops.jitter_probability=0.8"},
    {{"crops.jitter_probability=-0.5"},
     "invalid crops.jitter_probability=-0.5 (must be in [0, 1]). Try crops.jitter_probability=0.8"},
    {{"crops.gray_probability=1.5"},
     "invalid crops.gray_probability=1.5 (must be in [0, 1]). Try crops.gray_probability=0.2"},
    {{"crops.gray_probability=-0.5"},
     "invalid crops.gray_probability=-0.5 (must be in [0, 1]). Try crops.gray_probability=0.2"},
    {{"crops.solarize_probability=1.5"},
     "invalid crops.solarize_probability=1.5 (must be in [0, 1]). Try "
     "crops.solarize_probability=0.2"},
    {{"crops.solarize_probability=-0.5"},
     "invalid crops.solarize_probability=-0.5 (must be in [0, 1]). Try "
     "crops.solarize_probability=0.2"},
    {{"dino.center_momentum=1.5"},
     "invalid dino.center_momentum=1.5 (must be in [0, 1]). Try dino.center_momentum=0.9"},
    {{"dino.center_momentum=-0.5"},
     "invalid dino.center_momentum=-0.5 (must be in [0, 1]). Try dino.center_momentum=0.9"},
    {{"optim.momentum_teacher=1.5"},
     "invalid optim.momentum_teacher=1.5 (must be in [0, 1]). Try optim.momentum_teacher=0.996"},
    {{"optim.momentum_teacher=-0.5"},
     "invalid optim.momentum_teacher=-0.5 (must be in [0, 1]). Try optim.momentum_teacher=0.996"},
    {{"optim.final_momentum_teacher=1.5"},
     "invalid optim.final_momentum_teacher=1.5 (must be in [0, 1]). Try "
     "optim.final_momentum_teacher=1.0"},
    {{"optim.final_momentum_teacher=-0.5"},
     "invalid optim.final_momentum_teacher=-0.5 (must be in [0, 1]). Try "
     "optim.final_momentum_teacher=1.0"},
    {{"crops.flip_probability=nan"},
     "invalid crops.flip_probability=nan (must be in [0, 1]). Try crops.flip_probability=0.5"},
    {{"student.drop_path_rate=1"},
     "invalid student.drop_path_rate=1.0 (must be in [0, 1)). Try student.drop_path_rate=0.1"},
    {{"student.drop_path_rate=-0.5"},
     "invalid student.drop_path_rate=-0.5 (must be in [0, 1)). Try student.drop_path_rate=0.1"},
    {{"optim.beta1=1"}, "invalid optim.beta1=1.0 (must be in [0, 1)). Try optim.beta1=0.9"},
    {{"optim.beta1=-0.5"}, "invalid optim.beta1=-0.5 (must be in [0, 1)). Try optim.beta1=0.9"},
    {{"optim.beta2=1"}, "invalid optim.beta2=1.0 (must be in [0, 1)). Try optim.beta2=0.999"},
    {{"optim.beta2=-0.5"}, "invalid optim.beta2=-0.5 (must be in [0, 1)). Try optim.beta2=0.999"},
    {{"crops.hue=0.6"}, "invalid crops.hue=0.6 (must be in [0, 0.5]). Try crops.hue=0.1"},
    {{"crops.blur_probability=[1, 2, 0]"},
     "invalid crops.blur_probability=[1.0, 2.0, 0.0] (must be three values in [0, 1]). Try "
     "crops.blur_probability=[1.0, 0.1, 0.5]"},
    {{"crops.blur_radius=[2, 1]"},
     "invalid crops.blur_radius=[2.0, 1.0] (must be [least, most] with 0 <= least <= most). Try "
     "crops.blur_radius=[0.1, 2.0]"},
    {{"crops.blur_radius=[-1, 1]"},
     "invalid crops.blur_radius=[-1.0, 1.0] (must be [least, most] with 0 <= least <= most). Try "
     "crops.blur_radius=[0.1, 2.0]"},
    {{"crops.blur_radius=[1, inf]"},
     "invalid crops.blur_radius=[1.0, inf] (must be [least, most] with 0 <= least <= most). Try "
     "crops.blur_radius=[0.1, 2.0]"},
    {{"crops.mean=[0, 0, nan]"},
     "invalid crops.mean=[0.0, 0.0, nan] (must be three finite numbers). Try crops.mean=[0.485, "
     "0.456, 0.406]"},
    {{"crops.std=[1, 0, 1]"},
     "invalid crops.std=[1.0, 0.0, 1.0] (must be three numbers > 0). Try crops.std=[0.229, 0.224, "
     "0.225]"},
    {{"crops.global_scale=[0, 1]"},
     "invalid crops.global_scale=[0.0, 1.0] (must be [least, most] with 0 < least <= most <= 1). "
     "Try crops.global_scale=[0.4, 1.0]"},
    {{"crops.global_scale=[0.5, 0.25]"},
     "invalid crops.global_scale=[0.5, 0.25] (must be [least, most] with 0 < least <= most <= 1). "
     "Try crops.global_scale=[0.4, 1.0]"},
    {{"crops.global_scale=[0.5, 1.5]"},
     "invalid crops.global_scale=[0.5, 1.5] (must be [least, most] with 0 < least <= most <= 1). "
     "Try crops.global_scale=[0.4, 1.0]"},
    {{"crops.local_scale=[0, 1]"},
     "invalid crops.local_scale=[0.0, 1.0] (must be [least, most] with 0 < least <= most <= 1). "
     "Try crops.local_scale=[0.05, 0.4]"},
    {{"crops.local_scale=[0.5, 0.25]"},
     "invalid crops.local_scale=[0.5, 0.25] (must be [least, most] with 0 < least <= most <= 1). "
     "Try crops.local_scale=[0.05, 0.4]"},
    {{"crops.local_scale=[0.5, 1.5]"},
     "invalid crops.local_scale=[0.5, 1.5] (must be [least, most] with 0 < least <= most <= 1). "
     "Try crops.local_scale=[0.05, 0.4]"},
    {{"crops.global_size=225"},
     "invalid crops.global_size=225 (must be a multiple of student.patch_size=16). Try "
     "crops.global_size=224"},
    {{"crops.global_size=7"},
     "invalid crops.global_size=7 (must be a multiple of student.patch_size=16). Try "
     "crops.global_size=16"},
    {{"crops.local_size=15"},
     "invalid crops.local_size=15 (must be >= student.patch_size=16, or crops.local_count=0). Try "
     "crops.local_size=16"},
    {{"student.arch=resnet18"},
     "invalid student.arch=\"resnet18\" (must be vit_small, vit_tiny, vit_base, vit_large, "
     "vit_so400m, vit_huge2, vit_giant2, vit_7b or resnet50). Try student.arch=vit_small"},
    {{"student.embed_dim=100"},
     "invalid student.embed_dim=100 (must be a multiple of student.num_heads=6). Try "
     "student.embed_dim=96"},
    {{"student.arch=vit_base", "student.num_heads=5"},
     "invalid student.embed_dim=768 (must be a multiple of student.num_heads=5). Try "
     "student.embed_dim=765"},
    {{"student.arch=vit_tiny", "student.num_heads=7"},
     "invalid student.embed_dim=192 (must be a multiple of student.num_heads=7). Try "
     "student.embed_dim=189"},
    {{"shard.strategy=zero"},
     "invalid shard.strategy=\"zero\" (must be full, grad_op, hybrid or replicate). Try "
     "shard.strategy=full"},
    {{"shard.strategy=hybrid"},
     "invalid shard.strategy=\"hybrid\" (needs shard.group_size). Try shard.group_size=8, the "
     "ranks of a node, or shard.strategy=full"},
    {{"eval.knn_every=5"},
     "invalid eval.knn_every=5 (needs eval.train_shards and eval.test_shards). Try setting both to "
     "folders of labelled shards, or eval.knn_every=0"},
    {{"eval.knn_every=5", "eval.train_shards=a"},
     "invalid eval.knn_every=5 (needs eval.train_shards and eval.test_shards). Try setting both to "
     "folders of labelled shards, or eval.knn_every=0"},
    {{"eval.knn_every=5", "eval.test_shards=a"},
     "invalid eval.knn_every=5 (needs eval.train_shards and eval.test_shards). Try setting both to "
     "folders of labelled shards, or eval.knn_every=0"},
    {{"eval.knn_k=[]"},
     "invalid eval.knn_k=[] (must be one or more integers >= 1). Try eval.knn_k=[10, 20]"},
    {{"eval.knn_k=[5, 0]"},
     "invalid eval.knn_k=[5, 0] (must be one or more integers >= 1). Try eval.knn_k=[10, 20]"},
    {{"eval.crop_size=8"},
     "invalid eval.crop_size=8 (must be >= student.patch_size=16). Try eval.crop_size=16"},
    {{"method=dinov3", "student.drop_path_rate=0", "distill.students=[\"a.toml\"]",
      "distill.ranks=[1]"},
     "invalid distill.students=[\"a.toml\"] (needs distill.teacher). Try "
     "distill.teacher=CHECKPOINT"},
    {{"method=dinov3", "student.drop_path_rate=0", "distill.teacher=a", "distill.ranks=[1]",
      "distill.students=[\"a\", \"b\"]"},
     "invalid distill.ranks=[1] (must be one number for each of the 2 distill.students). Try "
     "distill.ranks=[1, 1]"},
    {{"method=dinov3", "student.drop_path_rate=0", "distill.teacher=a", "distill.ranks=[2, 0]",
      "distill.students=[\"a\", \"b\"]"},
     "invalid distill.ranks=[2, 0] (must be numbers >= 1). Try distill.ranks=[1, 1]"},
    {{"student.drop_path_rate=0", "distill.teacher=a"},
     "invalid method=\"dinov1\" (must be dinov2 or dinov3 with distill.teacher=\"a\"). Try "
     "method=dinov3"},
    {{"method=dinov3", "distill.teacher=a"},
     "invalid student.drop_path_rate=0.1 (must be 0 with distill.teacher=\"a\": students learn "
     "whole). Try student.drop_path_rate=0.0"},
    {{"method=dinov3", "student.drop_path_rate=0", "distill.teacher=a", "gram.use_loss=true",
      "gram.ema_teacher=true"},
     "invalid gram.ema_teacher=true (must be false with distill.teacher=\"a\": the teacher is "
     "another model). Try gram.ema_teacher=false, and gram.it_load_ema_teacher=0"},
    {{"distill.micro_batch=0"},
     "invalid distill.micro_batch=0 (must be >= 1). Try distill.micro_batch=16"},
    {{"eval.resize_size=200"},
     "invalid eval.resize_size=200 (must be >= eval.crop_size=224). Try eval.resize_size=224"},
    {{"monitor.dense_every=-1"},
     "invalid monitor.dense_every=-1 (must be >= 0). Try monitor.dense_every=1000"},
    {{"monitor.dense_images=1"},
     "invalid monitor.dense_images=1 (must be >= 2). Try monitor.dense_images=64"},
    {{"monitor.dense_snapshot_step=-1"},
     "invalid monitor.dense_snapshot_step=-1 (must be >= 0). Try monitor.dense_snapshot_step=1000"},
    {{"monitor.dense_probe_k=0"},
     "invalid monitor.dense_probe_k=0 (must be >= 1). Try monitor.dense_probe_k=20"},
    {{"monitor.dense_decay=1"},
     "invalid monitor.dense_decay=1.0 (must be in [0, 1)). Try monitor.dense_decay=0.05"}};

TEST(Validate, RefusesWithProblemAndRemedy) {
  for (auto const& [given, message] : refusals) EXPECT_EQ(refusal(given), message);
}

// "Try key=value" must be good advice: with it the refusal of that key is gone.
TEST(Validate, AcceptsTheRemedy) {
  for (auto const& [given, message] : refusals) {
    auto const remedy = message.substr(message.rfind(". Try ") + 6);
    if (remedy.find(',') != std::string::npos && remedy.find('[') == std::string::npos) continue;
    if (remedy.rfind("setting", 0) == 0) continue;
    Overrides mended = given;
    mended.push_back(remedy);
    EXPECT_EQ(refusal(mended), "") << message;
  }
}

TEST(Validate, AcceptsTheEdges) {
  std::vector<Overrides> const edges{
      {"student.arch=vit_tiny", "student.embed_dim=24", "student.num_heads=2"},
      {"crops.local_count=0", "crops.local_size=1"},
      {"crops.local_size=100", "eval.crop_size=225"},
      {"method=dinov3", "crops.local_size=100", "eval.crop_size=225"},
      {"method=dinov3", "student.rope_min_period=3", "student.rope_max_period=3",
       "student.rope_shift=0", "student.rope_jitter=1", "student.rope_rescale=1"},
      {"method=dinov3", "student.arch=vit_7b", "student.ffn=swiglu64", "student.mask_k_bias=true",
       "student.qkv_bias=false", "student.norm_layer=layernormbf16"},
      {"run.epochs=1", "run.steps=1", "run.micro_batch=1", "run.log_every=1"},
      {"crops.hue=0.5", "crops.flip_probability=0", "crops.gray_probability=1",
       "crops.blur_radius=[0, 0]"},
      {"crops.global_scale=[1, 1]"},
      {"crops.localcrops_subset_of_globalcrops=true", "crops.local_size=208",
       "crops.gram_teacher_crops_size=112", "crops.share_color_jitter=true"},
      {"crops.localcrops_subset_of_globalcrops=true", "crops.local_count=0",
       "crops.local_size=300"},
      {"crops.pairs.global_size=[16, 32, 48]", "crops.pairs.local_size=[64, 16, 17]",
       "crops.pairs.ratio=[0.3333333, 0.3333333, 0.3333334]",
       "crops.pairs.gram_teacher_crops_size=[16, 16, 96]", "data.mix.share=0"},
      {"method=dinov2", "crops.pairs.global_size=[64]", "crops.pairs.local_size=[40]",
       "crops.local_count=0", "crops.pairs.ratio=[1]"},
      {"shard.strategy=hybrid", "shard.group_size=1"},
      {"shard.strategy=grad_op"},
      {"shard.strategy=replicate"},
      {"eval.knn_every=1", "eval.train_shards=a", "eval.test_shards=b", "eval.knn_k=[1]"},
      {"optim.lr=0", "optim.clip_grad=0", "optim.beta1=0", "optim.momentum_teacher=1"},
      {"dino.out_dim=2", "dino.nlayers=1", "dino.center_momentum=1"},
      {"run.device=cuda", "run.precision=bf16"},
      {"eval.crop_size=16", "eval.resize_size=16"},
      {"shard.prefetch=0", "checkpoint.every=1", "checkpoint.keep_last=1"}};
  for (auto const& overrides : edges) EXPECT_EQ(refusal(overrides), "");
}

// Each numeric key of the configuration is looked at (run.seed may be anything; one function looks
// at those of all schedules).
TEST(Validate, KnowsEveryNumber) {
  std::string const text = describe_keys();
  for (std::size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) {
    std::string const key = text.substr(begin, text.find(' ', begin) - begin);
    std::string const value = text.substr(begin + 47, 5);
    bool const number = value[0] == '[' || value[0] == '(' || (value[0] >= '0' && value[0] <= '9');
    if (!number || key == "run.seed" || key.find("schedule") != std::string::npos) continue;
    EXPECT_TRUE(std::any_of(refusals.begin(), refusals.end(), [&](Refusal const& refused) {
      return refused.message.rfind("invalid " + key + "=", 0) == 0;
    })) << key;
  }
}

}  // namespace
}  // namespace dino
