#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Twenty steps are some steps, a stop and the rest: the same losses and the same checkpoint, bit for
# bit, in each precision and sharding strategy.
. "$(dirname "$0")/common.sh"

# check NAME RANKS key=value...: stopped after $stop steps, 10 unless set.
check() {
  local name=$1 ranks=$2 stop=${stop:-10}
  shift 2
  mkdir -p "$name/whole" "$name/parts"
  (cd "$name/whole" && expect 0 run "$ranks" $train "$@") || exit 1
  cd "$name/parts" || exit 1
  expect 75 run "$ranks" $train "$@" run.stop_after_steps="$stop"
  expect 0 run "$ranks" $train "$@"
  says "going on from step $stop of 20"
  cd ../..
  expect_same_losses "$name"/{whole,parts}/run
  [ "$(wc -l <losses_a)" -eq 20 ] || fail "$name: not 20 losses"
  cmp "$name"/{whole,parts}/run/checkpoint_000000020.h5 || fail "$name: checkpoints differ"
  echo "$name: the same bits, last loss $(tail -1 losses_a)"
}

check fp32_full 2
check bf16_full 2 run.precision=bf16
check fp32_grad_op 2 shard.strategy=grad_op
check bf16_replicate 2 shard.strategy=replicate run.precision=bf16
check fp32_hybrid 4 shard.strategy=hybrid shard.group_size=2
check fp32_accumulation 2 run.micro_batch=2
train=$resnet_train check resnet 2 dino.use_bn_in_head=true optim.optimizer=lars
train=$resnet_train check resnet_replicate 3 shard.strategy=replicate run.precision=bf16
check dinov2 2 $v2
check dinov2_centering 3 $v2 dino.centering=centering ibot.centering=centering run.micro_batch=2 run.precision=bf16
check dinov3 2 $v3 $gram
# The Gram teacher is replaced after steps 8, 12, ...: right before that, and right after.
stop=7 check dinov3_before_update 2 $v3 $gram
stop=8 check dinov3_after_update 2 $v3 $gram
check dinov3_batch 3 $v3 $gram gram.img_level=false gram.tokens_used=unmasked run.micro_batch=2 run.precision=bf16
mixed
check dinov3_mixed 2 $v3 $mixed
check dinov3_windows 3 $v3 $mixed crops.pairs.gram_teacher_crops_size=[] crops.localcrops_subset_of_globalcrops=true \
  run.micro_batch=2
