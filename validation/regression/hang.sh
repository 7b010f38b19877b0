#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A rank that stops moving, such as in a file system that hangs, does not hold the others for good: the time-out names
# the collective, who waits and who does not move, all ranks end, and the next start goes on.
. "$(dirname "$0")/common.sh"
long="$train run.steps=100 run.log_every=100 checkpoint.every=5"

start 2 $long run.dir=run run.collective_timeout=3
wait_for '[ "$(newest run)0" -ge 50 ]'
pids=$(ps -o pid= --ppid "$launcher")
stopped=$(pid_of_rank 1)
kill -STOP "$stopped"
wait_for 'grep -q "rank 0 has waited" log'
begin=$SECONDS
expect_abrupt_end $pids
echo "ended $((SECONDS - begin)) s after the report"
grep -E "rank 0 has waited [0-9]+ s in collective [0-9]+, (sum over ranks|all-gather of (student|teacher) .*|reduce-scatter of student .*)\. The other ranks of its node:" \
  log || fail "the log does not name the collective"
says "rank 1: its process has not moved for"
says "run.collective_timeout"
reached=$(newest run)
[ "$reached" -lt 100 ] || fail "the run ended before the rank was stopped"
expect_valid run/latest.h5
expect 0 run 2 $long run.dir=run
says "going on from step $reached of 100"

# Waiting that is shorter than the limit harms nothing.
start 2 $train run.steps=40 run.log_every=100 run.dir=short checkpoint.every=5 run.collective_timeout=10
wait_for '[ "$(newest short)0" -ge 50 ]'
stopped=$(pid_of_rank 1)
kill -STOP "$stopped"
sleep 2
kill -CONT "$stopped"
wait "$launcher" || fail "a pause of 2 s ended a run that waits 10 s"
