#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SIGKILL while a checkpoint is being written, three times in one run: the newest whole one stays
# good, the run goes on from it, and nothing unfinished is left in the end.
. "$(dirname "$0")/common.sh"
# 30 MB of checkpoint, so that a save can be met.
large="$train student.embed_dim=192 student.depth=4 run.steps=30"

expect 0 run 2 $large run.dir=whole
hits=0
for attempt in $(seq 12); do
  reached=$(newest run)
  start 2 $large run.dir=run checkpoint.every=1
  # Another whole one first: with it goes what the last kill left unfinished.
  wait_for "[ \"\$(newest run)\" != '$reached' ]"
  pids=$(ps -o pid= --ppid "$launcher")
  victim=$(pid_of_rank $((attempt % 2)))
  wait_for "compgen -G 'run/checkpoint_*.unfinished' >/dev/null"
  kill -9 "$victim"
  expect_abrupt_end $pids
  expect_valid run/latest.h5
  if compgen -G 'run/checkpoint_*.unfinished' >/dev/null; then
    hits=$((hits + 1))
    echo "killed while $(cd run && ls checkpoint_*.unfinished) was written"
  fi
  [ $hits -lt 3 ] || break
done
[ $hits -eq 3 ] || fail "met only $hits saves"
expect 0 run 2 $large run.dir=run checkpoint.every=1
expect_same_losses whole run
expect_valid run/latest.h5
expect_nothing_unfinished run
