#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The Gram teacher comes from a checkpoint, in a new run or on the way of one.
. "$(dirname "$0")/common.sh"

difference() { "$tool" compare_group "$1" "$2" "$3"; }
same() { [ "$(difference "$@")" = 0.000e+00 ] || fail "$3 differs between $1 and $2"; }
changed() { [ "$(difference "$@")" != 0.000e+00 ] || fail "$3 is the same in $1 and $2"; }

expect 0 run 2 $train run.dir=first $v3 run.steps=3
from="gram.use_loss=true gram.ckpt=first/latest.h5 checkpoint.keep_every=1 checkpoint.every=1"

expect 0 run 3 $train run.dir=second $v3 $from run.steps=3
says "the Gram teacher is that of 'first/latest.h5'"
same second/checkpoint_00000000{0,3}.h5 gram_teacher/
changed second/checkpoint_00000000{0,3}.h5 teacher/backbone.

# A run that had none goes on with one, and then with what it has.
expect 75 run 2 $train run.dir=third $v3 run.steps=6 run.stop_after_steps=2
expect 75 run 3 $train run.dir=third $v3 $from run.steps=6 run.stop_after_steps=4
says "going on from step 2 of 6"
says "the Gram teacher is that of 'first/latest.h5'"
same second/latest.h5 third/latest.h5 gram_teacher/
expect 0 run 2 $train run.dir=third $v3 $from gram.rep_update=true gram.update_frequency=5 run.steps=6
changed third/checkpoint_00000000{4,6}.h5 gram_teacher/

expect 3 run 2 $train run.dir=missing $v3 gram.use_loss=true gram.ckpt=nowhere.h5
says "cannot start from the checkpoint"
expect 2 run 2 $train run.dir=other $v3 $from student.embed_dim=96 run.steps=1
says "does not fit this configuration"
