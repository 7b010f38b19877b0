#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# jobs/train.sbatch under a real Slurm on this host: a job that is told to stop saves, is requeued and goes on to its
# last step; one with a wrong configuration fails at once and is not requeued.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for program in munged slurmctld slurmd sbatch; do
  command -v $program >/dev/null || { echo "Skipped: $program is not installed (slurm-wlm, munge)"; exit 77; }
done
[ "$(id -u)" = 0 ] || { echo "Skipped: only root can start Slurm's daemons"; exit 77; }
getent hosts "$(hostname -s)" >/dev/null || { echo "Skipped: this host's name does not resolve"; exit 77; }
mountpoint -q /sys/fs/cgroup || { echo "Skipped: slurmd needs /sys/fs/cgroup, which is not mounted here"; exit 77; }

export DINO=$DINO_EXECUTABLE
slurm=$PWD/local
trap 'bash "$here/local_slurm.sh" stop "$slurm"' EXIT
bash "$here/local_slurm.sh" start "$slurm" 4
. "$slurm/env.sh"

fail() {
  echo "FAIL: $*"
  tail -n 40 ./*.log
  exit 1
}
retry() { # SECONDS COMMAND...: until it succeeds
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || fail "never came true: $*"
    sleep 0.1
  done
}
submit() { # RUN key=value...: prints the job's number
  local run=$1
  shift
  sbatch --parsable --nodes=1 --ntasks-per-node=2 --cpus-per-task=1 --time=10 --output="$run.log" \
    "$DINO_SOURCE_DIR/jobs/train.sbatch" "$DINO_SOURCE_DIR/inputs/quickstart.toml" data.shards="$PWD/shards/train" \
    run.dir="$PWD/$run" run.precision=fp32 student.embed_dim=32 student.depth=2 dino.out_dim=64 data.batch_size=8 "$@"
}
field_of() { scontrol show job "$2" | grep -o "$1=[A-Z0-9]*" | cut -d= -f2; }
is() { [ "$(field_of "$1" "$3")" = "$2" ]; } # FIELD VALUE JOB
has_ended() { [[ $(field_of JobState "$1") =~ ^(COMPLETED|FAILED|CANCELLED|TIMEOUT)$ ]]; }
has_logged() { grep -q "$1" "$2" 2>/dev/null; }

rm -rf shards stopped refused ./*.log
"$DINO_EXECUTABLE" synth -o shards --train 64 --test 8 >synth.log

are_told() { # PID...: each has a USR1 before it
  local rank
  for rank; do
    ((0x$(awk '/^ShdPnd/ {print $2}' "/proc/$rank/status") & 1 << ($(kill -l USR1) - 1))) || return 1
  done
}

job=$(submit stopped run.steps=1200 run.log_every=5 checkpoint.every=100000)
retry 60 has_logged "step 10/" stopped.log
# Slurm may take longer to pass a signal on than so small a run takes to its end: the ranks are held until they have it.
mapfile -t ranks < <(pgrep -f "^$DINO train .*run.dir=$PWD/stopped")
[ ${#ranks[@]} = 2 ] || fail "${#ranks[@]} ranks instead of 2 to be told to stop"
kill -STOP "${ranks[@]}"
scancel --batch --signal=USR1 "$job"
retry 60 are_told "${ranks[@]}"
kill -CONT "${ranks[@]}"
retry 30 is Restarts 1 "$job"
saved=$(readlink stopped/latest.h5)
[ "$saved" != checkpoint_000001200.h5 ] || fail "the job was not stopped in the middle"
retry 120 has_ended "$job"
is JobState COMPLETED "$job" || fail "the requeued job ended as $(field_of JobState "$job")"
[ "$(readlink stopped/latest.h5)" = checkpoint_000001200.h5 ] || fail "the requeued job did not reach its last step"
echo "Stopped with $saved, requeued, finished with $(readlink stopped/latest.h5)"

job=$(submit refused optim.lr=-1)
retry 30 has_ended "$job"
is JobState FAILED "$job" || fail "a wrong configuration ended as $(field_of JobState "$job")"
is Restarts 0 "$job" || fail "a job that cannot succeed was requeued"
has_logged "invalid optim.lr" refused.log || fail "the reason is not in the log"
echo "Refused without a restart: $(grep -m 1 "invalid optim.lr" refused.log)"
