#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# checkpoint_kill.sh VICTIM MPIRUN...: five times, kills one of two ranks with SIGKILL in the middle
# of a save. mpirun must end with an error at once, and every file with a final name must be whole.
set -u
victim=$1
shift

fail() { echo "FAIL: $*"; exit 1; }
wait_for() { for _ in $(seq 2000); do eval "$1" && return; sleep .01; done; fail "never saw: $1"; }

for round in 1 2 3 4 5; do
  run=run$round
  rm -rf $run && mkdir $run
  "$@" 2 "$victim" write $run >mpirun.log 2>&1 &
  launcher=$!
  wait_for "[ -e $run/latest.h5 ]"
  wait_for "compgen -G '$run/checkpoint_*.unfinished' >/dev/null"
  kill -9 $(ps -o pid= --ppid $launcher | tail -1)
  begin=$SECONDS
  wait $launcher && fail "mpirun reported success"
  [ $((SECONDS - begin)) -le 20 ] || fail "mpirun took $((SECONDS - begin)) s to end"
  newest=$("$victim" check $run) || fail "round $round left a damaged checkpoint"
  echo "round $round: newest whole checkpoint $newest; left: $(ls $run | tr '\n' ' ')"
done
