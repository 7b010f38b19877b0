#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every way to stop a run early ends it at a step boundary with exit code 75 and a good checkpoint,
# from which it goes on.
. "$(dirname "$0")/common.sh"

# started NAME key=value...: a run that would last long, once it steps.
started() {
  start 2 $train run.dir="$1" run.steps=100000 checkpoint.every=100000 "${@:2}"
  wait_for "grep -q 'step 3/' log"
}
# goes_on NAME: from its newest checkpoint to an end near it.
goes_on() {
  local reached
  reached=$(newest "$1")
  expect_valid "$1/latest.h5"
  expect 0 run 2 $train run.dir="$1" run.steps=$((reached + 3))
  says "going on from step $reached of $((reached + 3))"
  echo "$1: stopped after step $reached, finished"
}
# stopped NAME REASON: the run in the background saved, said why, and asks to be started again.
stopped() {
  expect 75 wait "$launcher"
  says "$2"
  [ "$(newest "$1")" -gt 0 ] || fail "$1: no checkpoint of the stop"
  says "saved step $(newest "$1") of 100000; the same command goes on"
  goes_on "$1"
}

started signal_to_one_rank
kill -USR1 "$(pid_of_rank 1)"
stopped signal_to_one_rank "stopping: signal 10"

started signal_to_all_ranks
kill -TERM $(ps -o pid= --ppid "$launcher")
stopped signal_to_all_ranks "stopping: signal 15"

started signal_through_mpirun
kill -USR2 "$launcher"
stopped signal_through_mpirun "stopping: signal 12"

started stop_file
touch stop_file/STOP
stopped stop_file "stop_file/STOP exists"
[ ! -e stop_file/STOP ] || fail "the STOP file would stop the next run"

started time_budget run.time_budget=3
stopped time_budget "stopping: the time limit is near"

SLURM_JOB_END_TIME=$(($(date +%s) + 4)) started slurm_limit
stopped slurm_limit "stopping: the time limit is near"

# mpirun turns SIGTERM into its own error, and leaves the ranks one second to save.
started mpirun_terminated
pids=$(ps -o pid= --ppid "$launcher")
kill -TERM "$launcher"
expect_abrupt_end $pids
goes_on mpirun_terminated
