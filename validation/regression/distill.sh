#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A student learns from the frozen teacher of a checkpoint: the run goes on from any moment and on
# any ranks, with the same teacher only, and its own checkpoints are those of any run.
. "$(dirname "$0")/common.sh"
tolerance=1e-4  # relative; the ranks add up in another order

student="$v3 student.drop_path_rate=0 distill.teacher=$PWD/teacher/latest.h5"
expect 0 run 2 $train run.dir=teacher $v3 run.steps=15 student.embed_dim=96 student.depth=3 dino.hidden_dim=96 \
  dino.bottleneck_dim=48

# whole_and_parts NAME RANKS key=value...: bit for bit.
whole_and_parts() {
  local name=$1 ranks=$2
  shift 2
  expect 0 run "$ranks" $train run.dir="$name/whole" $student "$@"
  says "the frozen teacher is that of '$PWD/teacher/latest.h5', step 15"
  expect 75 run "$ranks" $train run.dir="$name/parts" $student "$@" run.stop_after_steps=10
  expect 0 run "$ranks" $train run.dir="$name/parts" $student "$@"
  says "going on from step 10 of 20"
  expect_same_losses "$name"/{whole,parts}
  worst=$("$tool" compare_arrays "$name"/{whole,parts}/latest.h5)
  [ "$worst" = 0.000e+00 ] || fail "$name: checkpoints differ by $worst"
}
whole_and_parts fp32 2
whole_and_parts bf16 3 run.precision=bf16 run.micro_batch=2 shard.strategy=replicate

# On other ranks.
expect 75 run 2 $train run.dir=others $student run.stop_after_steps=10
expect 0 run 3 $train run.dir=others $student run.micro_batch=2
worst=$("$tool" compare_losses fp32/whole/metrics.h5 others/metrics.h5) || fail "not comparable"
echo "on other ranks: worst relative difference of a loss $worst"
awk "BEGIN { exit !($worst <= $tolerance) }" || fail "more than $tolerance"

# The EMA of the student is what other commands take; the frozen teacher is not in the checkpoint.
"$tool" compare_group fp32/whole/checkpoint_0000000{20,00}.h5 teacher/backbone. >ema || fail "no EMA"
[ "$(cat ema)" != 0.000e+00 ] || fail "the EMA never moved"
expect 0 alone "$dino" info fp32/whole/latest.h5
says "checksums: all right"
[ "$("$tool" losses fp32/whole/metrics.h5 | wc -l)" -eq 20 ] || fail "not 20 losses"
expect 0 alone "$dino" eval knn fp32/whole/latest.h5 --train shards --test shards
expect 0 alone "$dino" plan tiny.toml --ranks 4 $student
says "frozen teacher, float32 masters"

# With another teacher, or none, or one where there was none, the run does not go on.
expect 0 run 2 $train run.dir=teacher $v3 run.steps=16 student.embed_dim=96 student.depth=3 dino.hidden_dim=96 \
  dino.bottleneck_dim=48
expect 2 run 2 $train run.dir=fp32/whole $student run.steps=30
says "was trained with another teacher: '$PWD/teacher/latest.h5' has other weights now"
expect 2 run 2 $train run.dir=fp32/whole $student run.steps=30 distill.teacher=
says "was trained with a frozen teacher (distill.teacher)"
expect 0 run 2 $train run.dir=alone $v3 student.drop_path_rate=0 run.steps=1
expect 2 run 2 $train run.dir=alone $student run.steps=2
says "was trained without a frozen teacher (distill.teacher)"
expect 0 run 2 $train run.dir=fp32/whole $student run.steps=22 distill.teacher=teacher/checkpoint_000000015.h5

# What cannot be a teacher.
expect 2 run 2 $train run.dir=refused $student dino.out_dim=48
says "invalid dino.out_dim=48 (the teacher '$PWD/teacher/latest.h5' has dino.out_dim=64"
expect 2 run 2 $train run.dir=refused $student student.drop_path_rate=0.1
says "invalid student.drop_path_rate=0.1"
expect 2 run 2 $train run.dir=refused $student distill.teacher=tiny.toml method=dinov3
says "a frozen teacher is one of dinov2 or dinov3"
"$tool" flip teacher/checkpoint_000000016.h5 -1
expect 3 run 2 $train run.dir=refused $student
says "cannot use distill.teacher"
expect 3 run 2 $train run.dir=refused $student distill.teacher=nowhere.h5
says "nowhere.h5"
