#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SIGKILL to one rank in the middle of training ends the job at once; the next start goes on from the
# last good checkpoint and has, bit for bit, the losses of a run that nobody killed.
. "$(dirname "$0")/common.sh"
long="$train run.steps=200 run.log_every=100"

expect 0 run 2 $long run.dir=whole
for rank in 0 1; do
  start 2 $long run.dir=run$rank checkpoint.every=5
  wait_for "[ \"\$(newest run$rank)0\" -ge 300 ]"  # step 30
  pids=$(ps -o pid= --ppid "$launcher")
  kill -9 "$(pid_of_rank $rank)"
  expect_abrupt_end $pids
  reached=$(newest run$rank)
  [ "$reached" -lt 200 ] || fail "the run ended before the signal came"
  expect_valid run$rank/latest.h5
  expect 0 run 2 $long run.dir=run$rank checkpoint.every=5
  says "going on from step $reached of 200"
  expect_same_losses whole run$rank
  expect_nothing_unfinished run$rank
  echo "rank $rank killed after the checkpoint of step $reached: the same losses in the end"
done
