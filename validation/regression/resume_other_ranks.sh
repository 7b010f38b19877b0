#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Ten steps on two ranks and ten on another number of ranks, or with accumulation, follow the
# uninterrupted run.
. "$(dirname "$0")/common.sh"
tolerance=1e-4  # relative; the ranks add up in another order

# method NAME key=value...: what the checks compare with.
method() {
  method=$1
  shift
  overrides=$*
  expect 0 run 2 $train run.dir="$method/whole" $overrides
  expect 75 run 2 $train run.dir="$method/first_half" $overrides run.stop_after_steps=10
}

# check NAME RANKS key=value...
check() {
  local name=$1 ranks=$2 worst
  shift 2
  cp -r "$method/first_half" "$method/$name"
  expect 0 run "$ranks" $train run.dir="$method/$name" $overrides "$@"
  says "going on from step 10 of 20"
  worst=$("$tool" compare_losses "$method/whole/metrics.h5" "$method/$name/metrics.h5") || fail "$name: not comparable"
  echo "$method, $name: worst relative difference of a loss $worst"
  awk "BEGIN { exit !($worst <= $tolerance) }" || fail "$name: more than $tolerance"
}

method dinov1
check one_rank 1
check three_ranks 3
check four_ranks 4
check accumulation 2 run.micro_batch=2
check one_image_at_a_time 1 run.micro_batch=1
check four_ranks_hybrid 4 shard.strategy=hybrid shard.group_size=2

method dinov2 $v2
check one_rank 1
check three_ranks 3
check accumulation 2 run.micro_batch=2
check four_ranks_hybrid 4 shard.strategy=hybrid shard.group_size=2

method dinov3 $v3 $gram
check three_ranks 3
check accumulation 2 run.micro_batch=2

mixed
method dinov3_mixed $v3 $mixed
says "31 images of data.mix in a share 0.4 of the steps"
check one_rank 1
check three_ranks 3
check accumulation 2 run.micro_batch=2
