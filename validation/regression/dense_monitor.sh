#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Patch features are measured while training: alike on any number of ranks, against an early snapshot
# that outlives restarts and stages, and against the masks of the demo world.
. "$(dirname "$0")/common.sh"

expect 0 alone "$dino" synth -o world --train 48 --test 24 --size 64
watch="data.shards=world/train crops.global_size=32 monitor.dense_every=2 monitor.dense_images=10
 monitor.dense_probe=true monitor.dense_probe_k=5 eval.resize_size=64 eval.crop_size=64
 eval.knn_every=3 eval.train_shards=world/train eval.test_shards=world/test run.steps=6 checkpoint.every=2"

# columns RUN: of the dense features, a line per row.
columns() { "$tool" evaluations "$1/metrics.h5" dense_ >"$1.txt" || fail "no evaluations in $1"; }

expect 0 run 1 $train run.dir=one $v3 $watch
says "mask probe's mean IoU"
says "patch similarities of 10 images are kept"
columns one
[ "$(wc -l <one.txt)" = 5 ] || fail "not measured at the steps 0, 2, 4, 6: $(cat one.txt)"
expect_valid one/dense_snapshot.h5

# The losses agree to summation order on other ranks, and so do the features.
expect 0 run 3 $train run.dir=three $v3 $watch
close() { # PREFIX BOUND: of the worst difference between 1 and 3 ranks
  awk -v d="$("$tool" compare_evaluations one/metrics.h5 three/metrics.h5 "$1")" -v bound="$2" \
    'BEGIN { print "'"$1"'", d; exit !(d != "" && d < bound) }' || fail "$1 differs on 3 ranks"
}
for name in dense_patch dense_adjacent dense_gram; do close $name 1e-4; done
close dense_probe 3 # per cent: a patch or two may change sides

# A restart keeps the snapshot; rows are the same.
expect 75 run 1 $train run.dir=stopped $v3 $watch run.stop_after_steps=4
expect 0 run 1 $train run.dir=stopped $v3 $watch
columns stopped
cmp one.txt stopped.txt || fail "a restart changed what was measured"

# A later stage compares with the snapshot of the former one, before its first step too.
next="$watch run.steps=2 run.start_from=one/latest.h5 monitor.dense_snapshot=one/dense_snapshot.h5"
expect 0 run 2 $train run.dir=next $v3 $next
columns next
[ ! -e next/dense_snapshot.h5 ] || fail "a second snapshot was made"
last=$(tail -1 one.txt | cut -d' ' -f3) first=$(sed -n 2p next.txt | cut -d' ' -f3)
head -1 one.txt | cut -d' ' -f3 | grep -q dense_gram_distance || fail "unexpected columns: $(head -1 one.txt)"
awk -v a="$last" -v b="$first" 'BEGIN { exit !(a > 0 && (a - b) ^ 2 < 1e-8) }' ||
  fail "the distance to the former snapshot was $last at the end and is $first at the start"

expect 2 run 2 $train run.dir=images $v3 $next monitor.dense_images=8
says "is of other images"
expect 2 run 2 $train run.dir=masks $v3 $watch data.shards="$PWD/shards" eval.knn_every=0
says "has no mask, which monitor.dense_probe needs"
