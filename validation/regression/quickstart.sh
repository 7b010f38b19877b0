#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# jobs/quickstart.sh with a tiny model: prints its three figures; started again it goes on instead of training again, and
# --clean starts anew.
set -euo pipefail
export DINO_QUICKSTART=$PWD/out
small=(run.steps=4 student.embed_dim=32 student.depth=1 dino.out_dim=64 data.batch_size=8)
quickstart() { bash "$DINO_SOURCE_DIR/jobs/quickstart.sh" "$@" 2>&1; }

stopped() { # STEP: the script ends with 75, the step saved
  local status=0
  quickstart --clean "${small[@]}" run.stop_after_steps="$1" >stopped.log || status=$?
  [ $status = 75 ] || { echo "FAIL: a stopped run ended with $status"; cat stopped.log; exit 1; }
  [ "$(readlink out/train/latest.h5)" = "checkpoint_00000000$1.h5" ]
}

stopped 2
quickstart "${small[@]}" >resumed.log
grep -q "going on from step 2 of 4" resumed.log
for name in "raw pixels" "untrained features" "trained features"; do
  grep -qE "$name +[0-9.]+ %" resumed.log || { echo "FAIL: no figure for $name"; cat resumed.log; exit 1; }
done
[ "$(readlink out/train/latest.h5)" = checkpoint_000000004.h5 ]
[ -e out/train/checkpoint_000000000.h5 ]

touch out/before
stopped 1
[ ! -e out/before ]
tail -n 9 resumed.log
