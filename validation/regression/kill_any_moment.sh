#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All ranks killed again and again, at moments spread from start-up over training to saving: whatever
# was met, the run ends with the losses of one that nobody killed.
. "$(dirname "$0")/common.sh"
many="$train run.steps=120 run.log_every=100"

expect 0 run 2 $many run.dir=whole
for delay in .20 .85 .45 .60 .35 .75 .30 .95 .50; do
  start 2 $many run.dir=run checkpoint.every=2
  sleep $delay
  kill -9 $(ps -o pid= --ppid "$launcher") 2>/dev/null
  wait "$launcher"
  [ ! -e run/latest.h5 ] || expect_valid run/latest.h5
  echo "killed after $delay s: $(cd run 2>/dev/null && ls -x -w 200)"
done
expect 0 run 2 $many run.dir=run checkpoint.every=2
expect_same_losses whole run
expect_nothing_unfinished run
