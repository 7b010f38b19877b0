#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A new run takes the weights of another: at another resolution, and without its heads, which are
# then trained alone at first.
. "$(dirname "$0")/common.sh"

# difference FILE FILE PREFIX: of the arrays that begin so.
difference() { "$tool" compare_group "$1" "$2" "$3"; }
same() { [ "$(difference "$@")" = 0.000e+00 ] || fail "$3 differs between $1 and $2"; }
changed() { [ "$(difference "$@")" != 0.000e+00 ] || fail "$3 is the same in $1 and $2"; }

expect 0 run 2 $train run.dir=first
from="run.start_from=first/latest.h5"

expect 0 run 2 $train run.dir=high $from crops.global_size=48 run.steps=3 checkpoint.keep_every=100
says "starting from the weights of 'first/latest.h5', positions resampled"
same first/latest.h5 high/checkpoint_000000000.h5 student/backbone.blocks.
same first/latest.h5 high/checkpoint_000000000.h5 teacher/head.
changed high/checkpoint_000000000.h5 high/latest.h5 student/backbone.pos_embed

# DINOv2 from a backbone of DINO: its heads are new, and trained alone for four steps.
expect 0 run 3 $train run.dir=second $from method=dinov2 ibot.loss_weight=1 run.steps=2 run.head_warmup_steps=4 \
  checkpoint.every=4 checkpoint.keep_every=4
says "with new heads"
says "step 6/6"
same first/latest.h5 second/checkpoint_000000000.h5 student/backbone.blocks.
same second/checkpoint_00000000{0,4}.h5 student/backbone.
same second/checkpoint_00000000{0,4}.h5 teacher/
changed second/checkpoint_00000000{0,4}.h5 student/dino_head.
changed second/checkpoint_000000004.h5 second/latest.h5 student/backbone.
changed second/checkpoint_000000004.h5 second/latest.h5 teacher/

expect 0 run 2 $train run.dir=unwarmed $from method=dinov2 run.steps=1
says "Set run.head_warmup_steps"
expect 2 run 2 $train run.dir=other $from student.embed_dim=96
says "does not fit this configuration"
expect 3 run 2 $train run.dir=missing run.start_from=nowhere.h5
says "cannot start from the checkpoint"
