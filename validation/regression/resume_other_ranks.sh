#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Ten steps on two ranks and ten on another number of ranks, or with accumulation, follow the
# uninterrupted run.
. "$(dirname "$0")/common.sh"
tolerance=1e-4  # relative; the ranks add up in another order

expect 0 run 2 $train run.dir=whole
expect 75 run 2 $train run.dir=first_half run.stop_after_steps=10

# check NAME RANKS key=value...
check() {
  local name=$1 ranks=$2 worst
  shift 2
  cp -r first_half "$name"
  expect 0 run "$ranks" $train run.dir="$name" "$@"
  says "going on from step 10 of 20"
  worst=$("$tool" compare_losses whole/metrics.h5 "$name/metrics.h5") || fail "$name: not comparable"
  echo "$name: worst relative difference of a loss $worst"
  awk "BEGIN { exit !($worst <= $tolerance) }" || fail "$name: more than $tolerance"
}

check one_rank 1
check three_ranks 3
check four_ranks 4
check accumulation 2 run.micro_batch=2
check one_image_at_a_time 1 run.micro_batch=1
check four_ranks_hybrid 4 shard.strategy=hybrid shard.group_size=2
