#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A run that blows up ends with exit code 4 and names the step; its last checkpoint stays as it was,
# and goes on with a sane learning rate as if nothing had happened.
. "$(dirname "$0")/common.sh"

expect 0 run 2 $train run.dir=whole
expect 75 run 2 $train run.dir=run run.stop_after_steps=10
cp run/checkpoint_000000010.h5 good.h5
expect 4 run 2 $train run.dir=run optim.lr=1e30
says "step 12: the DINO loss of rank 0 is not finite"  # the progress lines count so, too
says "Nothing was updated; the last checkpoint is good"
expect 4 run 2 $train run.dir=run optim.lr=1e30 run.skip_non_finite=2
says "step 12: the DINO loss of rank 0 is not finite: this step is skipped"
says "step 14: the DINO loss of rank 0 is not finite. Nothing was updated; the last checkpoint is good"
[ "$(newest run)" -eq 10 ] || fail "a checkpoint of step $(newest run) was written"
cmp good.h5 run/latest.h5 || fail "the last good checkpoint was changed"
expect_nothing_unfinished run
expect 0 run 2 $train run.dir=run
expect_same_losses whole run
