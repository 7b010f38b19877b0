#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A new stage goes on from a former one's checkpoint as if the run had never stopped; it may bring a
# Gram teacher, which is picked from the former stage's kept checkpoints.
. "$(dirname "$0")/common.sh"

difference() { "$tool" compare_group "$1" "$2" "$3"; }
same() { [ "$(difference "$@")" = 0.000e+00 ] || fail "$3 differs between $1 and $2"; }

expect 75 run 2 $train run.dir=first $v3 run.steps=10 run.stop_after_steps=6 checkpoint.every=1 checkpoint.keep_every=1
expect 0 run 2 $train run.dir=whole $v3 run.steps=10
expect 0 run 2 $train run.dir=second $v3 run.steps=10 run.continue_from=first/latest.h5 checkpoint.every=2
says "going on from step 6 of 'first/latest.h5'"
for group in student/ teacher/ optimizer/; do same whole/latest.h5 second/latest.h5 $group; done
# Started again it goes on from its own checkpoints, whatever became of the former stage.
expect 75 run 2 $train run.dir=third $v3 run.steps=10 run.continue_from=first/latest.h5 run.stop_after_steps=8
expect 0 run 3 $train run.dir=third $v3 run.steps=10 run.continue_from=nowhere.h5
says "going on from step 8 of 10"
# The centre of DINO goes with the rest.
expect 75 run 2 $train run.dir=centred run.steps=4 run.stop_after_steps=2
expect 0 run 2 $train run.dir=centred_whole run.steps=4
expect 0 run 2 $train run.dir=centred_next run.steps=4 run.continue_from=centred/latest.h5
for group in teacher/ loss/; do same centred_whole/latest.h5 centred_next/latest.h5 $group; done

# Without a mask probe the Gram teacher is the newest checkpoint up to a fifth of the steps.
from="run.continue_from=first/latest.h5 gram.use_loss=true gram.ckpt=first checkpoint.every=1 checkpoint.keep_every=1"
expect 0 run 2 $train run.dir=gram $v3 $from run.steps=8
says "the Gram teacher is that of 'first/checkpoint_000000001.h5'"
[ "$(newest gram)" = 8 ] || fail "the stage did not go on to step 8"
# With that teacher in its own checkpoint it no longer needs the folder.
mkdir emptied
expect 0 run 2 $train run.dir=gram $v3 $from gram.ckpt=emptied run.steps=9
# And a stage without one goes on from a stage with one.
expect 0 run 2 $train run.dir=plain $v3 run.continue_from=gram/latest.h5 run.steps=10
expect 0 run 2 $train run.dir=other $v3 run.continue_from=gram/latest.h5 gram.use_loss=true gram.ckpt=first/latest.h5 run.steps=10
says "the Gram teacher is that of 'first/latest.h5'"

expect 2 run 2 $train run.dir=late $v3 run.steps=6 run.continue_from=first/latest.h5
says "Raise run.epochs or run.steps"
expect 2 run 2 $train run.dir=both $v3 run.continue_from=first/latest.h5 run.start_from=first/latest.h5
says "run.start_from and run.continue_from are both set"
expect 2 run 2 $train run.dir=wide $v3 run.continue_from=first/latest.h5 student.embed_dim=96
says "belongs to another model"
expect 3 run 2 $train run.dir=missing $v3 run.continue_from=nowhere.h5
says "cannot go on from the checkpoint"
mkdir empty
expect 3 run 2 $train run.dir=unpicked $v3 gram.use_loss=true gram.ckpt=empty
says "has no checkpoint after step 0"
