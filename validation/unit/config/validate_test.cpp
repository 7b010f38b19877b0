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
    {{"method=dinov3"},
     "invalid method=\"dinov3\" (dinov3 is not available yet). Try method=dinov2"},
    {{"method=mae"}, "invalid method=\"mae\" (must be dinov1 or dinov2). Try method=dinov2"},
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
    {{"student.arch=resnet50"},
     "invalid student.arch=\"resnet50\" (must be vit_small, vit_tiny, vit_base, vit_large or "
     "vit_giant2). Try "
     "student.arch=vit_small"},
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
    {{"eval.resize_size=200"},
     "invalid eval.resize_size=200 (must be >= eval.crop_size=224). Try eval.resize_size=224"}};

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
      {"run.epochs=1", "run.steps=1", "run.micro_batch=1", "run.log_every=1"},
      {"crops.hue=0.5", "crops.flip_probability=0", "crops.gray_probability=1",
       "crops.blur_radius=[0, 0]"},
      {"crops.global_scale=[1, 1]"},
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

// Each numeric key of the configuration is looked at (run.seed may be anything).
TEST(Validate, KnowsEveryNumber) {
  std::string const text = describe_keys();
  for (std::size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) {
    std::string const key = text.substr(begin, text.find(' ', begin) - begin);
    std::string const value = text.substr(begin + 35, 5);
    bool const number = value[0] == '[' || value[0] == '(' || (value[0] >= '0' && value[0] <= '9');
    if (!number || key == "run.seed") continue;
    EXPECT_TRUE(std::any_of(refusals.begin(), refusals.end(), [&](Refusal const& refused) {
      return refused.message.rfind("invalid " + key + "=", 0) == 0;
    })) << key;
  }
}

}  // namespace
}  // namespace dino
