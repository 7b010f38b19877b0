#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Training on the emulated device follows training on the host, step by step: all kernels of a step are right, and no code
# of the host touches the device's memory (that would be a memory fault).
. "$(dirname "$0")/../regression/common.sh"
tolerance=1e-4 # relative, float32: sums in another order
train="$train data.batch_size=4 run.steps=3"

# follows NAME REFERENCE RANKS key=value...
follows() {
  local name=$1 reference=$2 ranks=$3 worst
  shift 3
  expect 0 run "$ranks" $train run.dir="$name" run.device=cuda "$@"
  worst=$("$tool" compare_losses "$reference/metrics.h5" "$name/metrics.h5") || fail "$name: not comparable"
  echo "$name: worst relative difference of a loss $worst"
  awk "BEGIN { exit !($worst <= $tolerance) }" || fail "$name: more than $tolerance"
}

expect 0 run 1 $train run.dir=v1 run.device=host
follows v1_device v1 1
expect 75 run 1 $train run.dir=v1_half run.device=host run.stop_after_steps=2
follows v1_half v1 2
expect 0 run 1 $train run.dir=v2 run.device=host $v2
follows v2_device v2 1 $v2 run.micro_batch=2
# augmented NAME RANKS key=value...: with crops made on the device the losses are those of run NAME, bit for bit.
augmented() {
  local name=$1 ranks=$2
  shift 2
  expect 0 run "$ranks" $train run.dir="${name}_augmented" run.device=cuda data.augment_device=cuda "$@"
  expect_same_losses "$name" "${name}_augmented"
}
augmented v1_device 1
augmented v2_device 1 $v2 run.micro_batch=2 data.decoded_mib=1
expect 75 run 1 $train run.dir=v1_half_augmented run.device=host run.stop_after_steps=2
augmented v1_half 2
follows v2_four_ranks v2 4 $v2
gram_now="${gram/it_load_ema_teacher=3/it_load_ema_teacher=1}"
expect 0 run 1 $train run.dir=v3 run.device=host $v3 $gram_now
follows v3_device v3 2 $v3 $gram_now
augmented v3_device 2 $v3 $gram_now
# Students with the passes of one frozen teacher, which has crops of its own: on the device, also made there.
printf '[run]\ndir = "small"\n' >small.toml
printf '[run]\ndir = "large"\n[student]\nembed_dim = 72\n' >large.toml
{ cat tiny.toml && printf '[distill]\nstudents = ["small.toml", "large.toml"]\nranks = [1, 1]\n'; } >students.toml
students="$dino train students.toml $v3 student.drop_path_rate=0 data.batch_size=5 run.steps=3 distill.micro_batch=2
 distill.teacher=$PWD/v3/latest.h5 run.device=cuda"
for augment_device in host cuda; do
  expect 0 run 2 $students data.augment_device=$augment_device
  mkdir "students_$augment_device" && mv small large "students_$augment_device"
done
for name in small large; do expect_same_losses students_{host,cuda}/$name; done

# The other runs of several ranks go from device to device.
follows v1_staged v1 2 shard.collectives=staged
follows v1_hybrid v1 2 shard.strategy=hybrid shard.group_size=1
expect 0 run 1 $train run.dir=v3_bf16 run.device=cuda run.precision=bf16 $v3 $gram_now

# A convnet with batch norms over the ranks; few steps, see train/invariance_resnet.
train="$resnet_train data.batch_size=4 run.steps=3 dino.use_bn_in_head=true"
for optimizer in lars sgd; do
  expect 0 run 1 $train run.dir=resnet_$optimizer run.device=host optim.optimizer=$optimizer
  follows resnet_${optimizer}_device resnet_$optimizer 2 optim.optimizer=$optimizer
done
expect 0 run 1 $train run.dir=resnet_bf16 run.device=host run.precision=bf16
tolerance=1e-3 follows resnet_bf16_device resnet_bf16 1 run.precision=bf16 # a seventh of its distance from float32

for name in v1 resnet_lars; do
  for device in host cuda; do
    expect 0 run 1 "$dino" features $name/latest.h5 --shards shards -o $name.$device.h5 --device $device
  done
  worst=$("$tool" compare_arrays $name.host.h5 $name.cuda.h5) || fail "features of $name: not comparable"
  echo "features of $name: worst difference $worst"
  awk "BEGIN { exit !($worst <= 1e-4) }" || fail "features of $name: more than 1e-4"
done
