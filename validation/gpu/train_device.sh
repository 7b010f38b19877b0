#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Training on a device follows training on the host: all methods, on several ranks of one device, and from a checkpoint
# that the host wrote.
"$DINO_EXECUTABLE" info | grep -q 'cuda:[0-9]' || { "$DINO_EXECUTABLE" info | grep '^devices'; exit 77; }
. "$(dirname "$0")/../regression/common.sh"
tolerance=1e-4        # relative, float32: sums in another order
bfloat16_bound=2e-2   # relative, of bfloat16 against float32

# follows NAME REFERENCE BOUND RANKS key=value...: a run on a device, with the losses of `reference`.
follows() {
  local name=$1 reference=$2 bound=$3 ranks=$4 worst
  shift 4
  expect 0 run "$ranks" $train run.dir="$name" run.device=cuda "$@"
  says "rank 0 on"
  worst=$("$tool" compare_losses "$reference/metrics.h5" "$name/metrics.h5") || fail "$name: not comparable"
  echo "$name: worst relative difference of a loss $worst"
  awk "BEGIN { exit !($worst <= $bound) }" || fail "$name: more than $bound"
}

# method NAME key=value...
method() {
  local name=$1
  shift
  expect 0 run 1 $train run.dir="$name/host" run.device=host "$@"
  follows "$name/device" "$name/host" $tolerance 1 "$@"
  follows "$name/again" "$name/host" $tolerance 1 "$@"
  expect_same_losses "$name/device" "$name/again"
  follows "$name/augmented" "$name/host" $tolerance 1 data.augment_device=cuda "$@"
  expect_same_losses "$name/device" "$name/augmented"
  follows "$name/two_ranks" "$name/host" $tolerance 2 "$@"
  follows "$name/four_ranks" "$name/host" $tolerance 4 "$@"
  follows "$name/bf16" "$name/host" $bfloat16_bound 1 run.precision=bf16 "$@"
}

method dinov1
follows dinov1/accumulation dinov1/host $tolerance 1 run.micro_batch=2
method dinov2 $v2
method dinov3 $v3 $gram

# A convnet with batch norms over the ranks, which take no half batches; few steps, see train/invariance_resnet.
vit_train=$train
train="$resnet_train run.steps=3 dino.use_bn_in_head=true optim.optimizer=lars"
method resnet
follows resnet/bf16_again resnet/host $bfloat16_bound 1 run.precision=bf16
expect_same_losses resnet/bf16 resnet/bf16_again # cuDNN's engines have to be deterministic
train=$vit_train

expect 75 run 1 $train run.dir=half run.device=host run.stop_after_steps=10
follows half dinov1/host $tolerance 1

for name in dinov1 resnet; do
  for device in host cuda; do
    expect 0 run 1 "$dino" features $name/host/latest.h5 --shards shards -o $name.$device.h5 --device $device
  done
  worst=$("$tool" compare_arrays $name.host.h5 $name.cuda.h5) || fail "features of $name: not comparable"
  echo "features of $name: worst difference $worst"
  awk "BEGIN { exit !($worst <= 1e-4) }" || fail "features of $name: more than 1e-4"
done
