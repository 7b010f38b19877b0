#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# jobs/dinov3_chain.sbatch with a tiny model: three stages, each from the former, and the report; stopped on the way it goes on.
set -euo pipefail
# the system's own, too: another Python may come before it
for PYTHON in python3 /usr/bin/python3 ""; do
  [ -z "$PYTHON" ] || ! "$PYTHON" -c "import h5py" 2>/dev/null || break
done
[ -n "$PYTHON" ] || { echo "no Python with h5py"; exit 77; }
export PYTHON
rm -rf out
export DINO=$DINO_EXECUTABLE DINO_CHAIN=$PWD/out DINO_WORLD="--train 48 --test 24"
small=(student.embed_dim=32 student.depth=1 dino.out_dim=64 dino.hidden_dim=32 dino.bottleneck_dim=16 ibot.out_dim=48
       ibot.hidden_dim=32 ibot.bottleneck_dim=16 data.batch_size=8 checkpoint.every=20 checkpoint.keep_every=20
       monitor.dense_every=20 monitor.dense_images=12 monitor.dense_snapshot_step=20)
chain() { bash "$DINO_SOURCE_DIR/jobs/dinov3_chain.sbatch" "${small[@]}" "$@" 2>&1; }
fail() { echo "FAIL: $*"; tail -n 40 ./*.log; exit 1; }

status=0
chain run.stop_after_steps=30 >stopped.log || status=$?
[ $status = 75 ] || fail "a stopped chain ended with $status"
[ "$(readlink out/pretrain/latest.h5)" = checkpoint_000000030.h5 ] || fail "the first stage stopped elsewhere"
chain >whole.log || fail "the chain ended with $?"
grep -q "going on from step 30 of 60" whole.log || fail "the first stage did not go on"
grep -q "going on from step 60 of '.*pretrain/latest.h5'" whole.log || fail "the second stage did not go on from the first"
grep -qE "the Gram teacher is that of '.*pretrain/checkpoint_0000000(20|40|60).h5'" whole.log || fail "no Gram teacher was picked"
grep -q "starting from the weights of '.*gram_anchor/latest.h5'" whole.log || fail "the third stage did not start from the second"
for stage in pretrain gram_anchor high_res_adapt; do
  grep -qE "out/$stage: evaluations, [0-9]+ rows" whole.log || fail "the report lacks $stage"
done
grep -q "knn_top1_k20" whole.log && grep -q "dense_probe_mean_iou" whole.log || fail "the report lacks the probes"
before=$(sha256sum out/*/latest.h5)
chain >again.log || fail "a finished chain ended with $?"
[ "$before" = "$(sha256sum out/*/latest.h5)" ] || fail "a finished chain trained again"
sed -n '/Patch features over the stages/,$p' whole.log
rm -rf out
