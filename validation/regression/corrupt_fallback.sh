#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A damaged checkpoint is named and passed over for the next older one; where all are damaged, the
# run refuses to start and deletes nothing.
. "$(dirname "$0")/common.sh"
steps="checkpoint.every=5 checkpoint.keep_last=3"

expect 0 run 2 $train run.dir=whole
expect 75 run 2 $train run.dir=good $steps run.stop_after_steps=15
[ "$(newest good)" -eq 15 ] || fail "no checkpoint of step 15"

# check NAME COMMAND...: damages the newest checkpoint by the command, whose last word it becomes.
check() {
  local name=$1
  shift
  cp -r good "$name"
  "$@" || fail "cannot damage $name"
  expect 0 run 2 $train run.dir="$name" $steps
  says "passing over a damaged checkpoint: "
  says "$name/checkpoint_000000015.h5"
  says "going on from the older checkpoint '$name/checkpoint_000000010.h5'"
  says "going on from step 10 of 20"
  expect_same_losses whole "$name"
  expect_valid "$name/latest.h5"
}
check flipped_value "$tool" flip flipped_value/checkpoint_000000015.h5 -1000
check flipped_metadata "$tool" flip flipped_metadata/checkpoint_000000015.h5 2000
check flipped_header "$tool" flip flipped_header/checkpoint_000000015.h5 100
check truncated truncate -s 700000 truncated/checkpoint_000000015.h5
check emptied truncate -s 0 emptied/checkpoint_000000015.h5

cp -r good hopeless
for step in 05 10 15; do "$tool" flip hopeless/checkpoint_0000000$step.h5 -1000; done
(cd hopeless && sha256sum checkpoint_*) >before
expect 3 run 2 $train run.dir=hopeless $steps
says "all 3 checkpoints of run.dir 'hopeless' are damaged"
(cd hopeless && sha256sum checkpoint_*) >after
cmp before after || fail "the damaged checkpoints were changed"
